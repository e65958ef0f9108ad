#include "quire/kernels/cpu_features.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace quire {

std::vector<std::pair<std::string_view, bool>> CpuFeatures::Named() const {
  return {{"avx2", avx2},
          {"fma", fma},
          {"f16c", f16c},
          {"avx512f", avx512f},
          {"avx512bw", avx512bw},
          {"avx512dq", avx512dq},
          {"avx512vl", avx512vl},
          {"avx512_vnni", avx512_vnni},
          {"avx512_bf16", avx512_bf16},
          {"avx512_fp16", avx512_fp16},
          {"gfni", gfni},
          {"amx_tile", amx_tile},
          {"amx_int8", amx_int8},
          {"amx_bf16", amx_bf16}};
}

#if defined(__x86_64__)
namespace {

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero where the processor does not have the leaf.
Registers Cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool Bit(uint32_t word, int bit) { return (word >> bit & 1) != 0; }

// Which register files the operating system saves (XCR0).
uint64_t SavedState() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

// Linux hands out the tile registers on request only, per process.
bool RequestAmxTiles() {
  constexpr int kArchReqXcompPerm = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData) == 0;
}

}  // namespace

CpuFeatures DetectCpuFeatures() {
  CpuFeatures f;
  const Registers basic = Cpuid(1, 0);
  const bool has_xgetbv = Bit(basic.ecx, 27);
  if (!has_xgetbv) return f;

  constexpr uint64_t kYmm = 0x6, kZmm = 0xe6, kTiles = 0x60000;  // bits of XCR0
  const uint64_t saved = SavedState();
  const Registers extended = Cpuid(7, 0), extended_1 = Cpuid(7, 1);
  if ((saved & kYmm) == kYmm && Bit(basic.ecx, 28)) {
    f.avx2 = Bit(extended.ebx, 5);
    f.fma = Bit(basic.ecx, 12);
    f.f16c = Bit(basic.ecx, 29);
  }
  if ((saved & kZmm) == kZmm) {
    f.avx512f = Bit(extended.ebx, 16);
    f.avx512bw = Bit(extended.ebx, 30);
    f.avx512dq = Bit(extended.ebx, 17);
    f.avx512vl = Bit(extended.ebx, 31);
    f.avx512_vnni = Bit(extended.ecx, 11);
    f.avx512_bf16 = Bit(extended_1.eax, 5);
    f.avx512_fp16 = Bit(extended.edx, 23);
    f.gfni = Bit(extended.ecx, 8);
  }
  if ((saved & kTiles) == kTiles && Bit(extended.edx, 24) && RequestAmxTiles()) {
    f.amx_tile = true;
    f.amx_int8 = Bit(extended.edx, 25);
    f.amx_bf16 = Bit(extended.edx, 22);
  }
  return f;
}
#else
CpuFeatures DetectCpuFeatures() { return {}; }
#endif

}  // namespace quire

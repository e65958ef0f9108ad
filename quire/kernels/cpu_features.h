// What the processor and the operating system together allow: an instruction set counts only if the system
// also saves its registers (XGETBV), and AMX only if the kernel grants this process its tiles.
#ifndef QUIRE_KERNELS_CPU_FEATURES_H_
#define QUIRE_KERNELS_CPU_FEATURES_H_

#include <string_view>
#include <utility>
#include <vector>

namespace quire {

struct CpuFeatures {
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512dq = false;
  bool avx512vl = false;
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool avx512_fp16 = false;
  bool gfni = false;
  bool amx_tile = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;

  bool RunsAvx2Kernels() const { return avx2 && fma && f16c; }
  bool RunsAvx512Kernels() const {
    return RunsAvx2Kernels() && avx512f && avx512bw && avx512dq && avx512vl && avx512_vnni;
  }
  bool RunsAvx512Bf16Kernels() const { return RunsAvx512Kernels() && avx512_bf16; }
  bool RunsAmxKernels() const { return RunsAvx512Bf16Kernels() && gfni && amx_tile && amx_int8 && amx_bf16; }
  // Intel's processors that have both begin a VDPBF16PS every other cycle, and two FMAs in each: the products
  // of floats are twice as fast there.
  bool MultipliesBFloatsFast() const { return avx512_bf16 && !avx512_fp16; }
  // Every feature with its name, for people.
  std::vector<std::pair<std::string_view, bool>> Named() const;
};

CpuFeatures DetectCpuFeatures();

}  // namespace quire

#endif  // QUIRE_KERNELS_CPU_FEATURES_H_

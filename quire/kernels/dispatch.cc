// Chooses a kernel table by what DetectCpuFeatures finds and by the environment variable QUIRE_FORCE_ISA.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "quire/kernels/cpu_features.h"
#include "quire/kernels/kernel_tables.h"

namespace quire {
namespace {

const KernelTable& ChooseKernels() {
  const std::vector<const KernelTable*> supported = SupportedKernels();
  const char* forced = std::getenv("QUIRE_FORCE_ISA");
  if (forced == nullptr || *forced == '\0') return *supported.back();

  std::string names;
  for (const KernelTable* table : supported) {
    if (table->name == forced) return *table;
    names += std::string(names.empty() ? "" : ", ") + std::string(table->name);
  }
  std::fprintf(stderr, "QUIRE_FORCE_ISA=%s is not an instruction set this machine runs (%s): using %s.\n",
               forced, names.c_str(), std::string(supported.back()->name).c_str());
  return *supported.back();
}

}  // namespace

std::vector<const KernelTable*> SupportedKernels() {
  std::vector<const KernelTable*> tables = {&kGenericKernels};
#if defined(__x86_64__)
  const CpuFeatures features = DetectCpuFeatures();
  if (features.RunsAvx2Kernels()) tables.push_back(&kAvx2Kernels);
  const auto add_bf16 = [&] {
    if (features.RunsAvx512Bf16Kernels()) tables.push_back(&kAvx512Bf16Kernels);
  };
  if (!features.MultipliesBFloatsFast()) add_bf16();
  if (features.RunsAvx512Kernels()) tables.push_back(&kAvx512Kernels);
  if (features.MultipliesBFloatsFast()) add_bf16();
  if (features.RunsAmxKernels()) tables.push_back(&kAmxKernels);
#endif
  return tables;
}

const KernelTable& BestKernels() {
  static const KernelTable& chosen = ChooseKernels();
  return chosen;
}

bool MultipliesBFloats(const KernelTable& kernels, DType weights) {
  return kernels.matmul_bf16 != nullptr && !IsQuantized(weights);
}

size_t AttentionScratchFloats(size_t rows, int head_dim) {
  // For each row scores, a sum, and for attention_bf16 weights in half as many bytes and a query; a tile.
  const size_t vectors = static_cast<size_t>(head_dim + 15) / 16;
  const size_t by_vectors =
      rows * (kAttentionSplit + kAttentionSplit / 2 + 8 * vectors + 1) + kAttentionTileTokens * 16 * vectors;
  // In tiles: scores and results of a block of rows, all queries, and keys and values, of 32 dimensions at a
  // time; what brings the first to the start of a cache line.
  const size_t pairs = static_cast<size_t>(head_dim + 31) / 32 * 16, tile_rows = (rows + 15) / 16 * 16;
  const size_t tokens = rows > kAttentionFewRows ? kAttentionSplit : kAttentionTileTokens;
  const size_t in_tiles =
      kAttentionFewRows * (kAttentionSpan + 2 * pairs) + tile_rows * pairs + 2 * tokens * pairs + 15;
  return std::max(by_vectors, in_tiles);
}

}  // namespace quire

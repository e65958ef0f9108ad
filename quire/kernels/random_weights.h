// Random numbers and weights in every file type, for tests and benchmarks. The weights are about normal in
// size (a few tenths), whatever the type.
#ifndef QUIRE_KERNELS_RANDOM_WEIGHTS_H_
#define QUIRE_KERNELS_RANDOM_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "quire/kernels/dtype.h"

namespace quire {

std::vector<float> RandomFloats(int64_t n, uint32_t seed, float deviation = 1.0f);

// Rows of `type` as they would lie in a file. REQUIRES: cols is a multiple of the type's block.
std::vector<std::byte> RandomWeights(DType type, int64_t rows, int64_t cols, uint32_t seed);

// The same for a quantized type with every byte but the half-precision scales set to `fill`.
std::vector<std::byte> ConstantCodes(DType type, int64_t rows, int64_t cols, uint8_t fill);

inline std::vector<DType> AllTypes() {
  std::vector<DType> types;
  for (int i = 0; i < kWeightTypeCount; ++i) types.push_back(static_cast<DType>(i));
  return types;
}

}  // namespace quire

#endif  // QUIRE_KERNELS_RANDOM_WEIGHTS_H_

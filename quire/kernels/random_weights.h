// Random numbers, weights in every file type, and activations in every form, for tests and benchmarks. The
// weights are about normal in size (a few tenths), whatever the type.
#ifndef QUIRE_KERNELS_RANDOM_WEIGHTS_H_
#define QUIRE_KERNELS_RANDOM_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/kernels/dtype.h"
#include "quire/kernels/kernels.h"

namespace quire {

std::vector<float> RandomFloats(int64_t n, uint32_t seed, float deviation = 1.0f);

// Rows of `type` as they would lie in a file. REQUIRES: cols is a multiple of the type's block.
std::vector<std::byte> RandomWeights(DType type, int64_t rows, int64_t cols, uint32_t seed);

// The same for a quantized type with every byte but the half-precision scales set to `fill`.
std::vector<std::byte> ConstantCodes(DType type, int64_t rows, int64_t cols, uint8_t fill);

// Rows of activations and the forms of them that the products of a table take, int8 where there are whole
// groups of columns.
class ActivationForms {
 public:
  // REQUIRES: floats.size() == rows * cols.
  ActivationForms(const KernelTable& kernels, std::vector<float> floats, int64_t rows, int64_t cols);

  std::vector<float>& floats() { return floats_; }
  const std::vector<float>& floats() const { return floats_; }
  const QuantizedActivations& int8() const { return int8_; }
  const BFloatActivations& bfloat() const { return bfloat_; }
  const WideActivations& wide() const { return wide_; }

 private:
  std::vector<float> floats_;
  std::vector<int8_t> values_;
  std::vector<float> scales_;
  std::vector<int32_t> sums_;
  std::vector<float> wide_scales_;
  AlignedBuffer bfloats_, wide_values_;
  QuantizedActivations int8_;
  BFloatActivations bfloat_;
  WideActivations wide_;
};

inline std::vector<DType> AllTypes() {
  std::vector<DType> types;
  for (int i = 0; i < kWeightTypeCount; ++i) types.push_back(static_cast<DType>(i));
  return types;
}

}  // namespace quire

#endif  // QUIRE_KERNELS_RANDOM_WEIGHTS_H_

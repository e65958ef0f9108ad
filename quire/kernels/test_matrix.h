// What the tests and the benchmark of the products share: a random matrix in file and packed form, and
// quantized activations with their memory.
#ifndef QUIRE_KERNELS_TEST_MATRIX_H_
#define QUIRE_KERNELS_TEST_MATRIX_H_

#include <utility>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/random_weights.h"

namespace quire {

struct TestMatrix {
  std::vector<std::byte> file;
  AlignedBuffer memory;
  PackedMatrix packed;

  TestMatrix(const KernelTable& kernels, DType type, int64_t rows, int64_t cols, uint32_t seed)
      : TestMatrix(kernels, type, rows, cols, RandomWeights(type, rows, cols, seed)) {}
  TestMatrix(const KernelTable& kernels, DType type, int64_t rows, int64_t cols,
             std::vector<std::byte> weights)
      : file(std::move(weights)), packed{type, rows, cols, nullptr} {
    memory = AlignedBuffer::Allocate(packed.panels() * PanelBytes(type, cols)).value();
    kernels.pack(type, file.data(), rows, cols, 0, packed.panels(), memory.data());
    packed.data = memory.data();
  }

  std::vector<float> Dequantized(const KernelTable& kernels) const {
    std::vector<float> floats(static_cast<size_t>(packed.rows * packed.cols));
    kernels.dequantize(packed.type, file.data(), floats.data(), packed.rows * packed.cols);
    return floats;
  }
};

struct TestActivations {
  std::vector<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  QuantizedActivations view;

  TestActivations(const KernelTable& kernels, const std::vector<float>& x, int64_t rows, int64_t cols)
      : values(rows * cols), scales(rows * cols / kActivationGroup), sums(rows * cols / 16) {
    view = {rows, cols, values.data(), scales.data(), sums.data()};
    for (int64_t row = 0; row < rows; ++row) kernels.quantize_row(x.data(), row, view);
  }

  // The activations as the products see them.
  std::vector<float> Dequantized() const {
    std::vector<float> floats(values.size());
    for (size_t i = 0; i < values.size(); ++i) floats[i] = scales[i / kActivationGroup] * values[i];
    return floats;
  }
};

}  // namespace quire

#endif  // QUIRE_KERNELS_TEST_MATRIX_H_

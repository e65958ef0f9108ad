// What the tests of the products share: a random matrix in file and packed form.
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
  AlignedBuffer memory, widened;
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

  // Has the product read wide groups that were made before. REQUIRES: kernels.widen.
  void Widen(const KernelTable& kernels) {
    widened = AlignedBuffer::Allocate(packed.panels() * WidePanelBytes(packed.cols)).value();
    for (int64_t panel = 0; panel < packed.panels(); ++panel) {
      kernels.widen(packed, panel, panel + 1, widened.data());
    }
    packed.wide = widened.data();
  }

  std::vector<float> Dequantized(const KernelTable& kernels) const {
    std::vector<float> floats(static_cast<size_t>(packed.rows * packed.cols));
    kernels.dequantize(packed.type, file.data(), floats.data(), packed.rows * packed.cols);
    return floats;
  }
};

// Quantized activations as the products see them.
inline std::vector<float> Dequantized(const QuantizedActivations& x) {
  std::vector<float> floats(static_cast<size_t>(x.rows * x.cols));
  for (size_t i = 0; i < floats.size(); ++i) floats[i] = x.scales[i / kActivationGroup] * x.values[i];
  return floats;
}

}  // namespace quire

#endif  // QUIRE_KERNELS_TEST_MATRIX_H_

// A named-by-its-owner view of a weight tensor as it lies in a file: type, shape and bytes, nothing owned.
#ifndef QUIRE_KERNELS_TENSOR_VIEW_H_
#define QUIRE_KERNELS_TENSOR_VIEW_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "quire/kernels/dtype.h"

namespace quire {

// Row-major, outermost dimension first: a linear layer's weight is [output features, input features], a norm
// is [features]. `data.size()` is exactly the bytes of the tensor.
struct TensorView {
  static constexpr int kMaxRank = 4;
  DType type = DType::kF32;
  int rank = 0;
  std::array<int64_t, kMaxRank> shape{};
  std::span<const std::byte> data;

  // A matrix is everything but the last dimension by the last dimension.
  int64_t cols() const { return rank == 0 ? 1 : shape[rank - 1]; }
  int64_t rows() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < rank; ++i) n *= shape[i];
    return n;
  }
  size_t row_bytes() const { return RowBytes(type, cols()); }
  const std::byte* row(int64_t r) const { return data.data() + r * row_bytes(); }
};

}  // namespace quire

#endif  // QUIRE_KERNELS_TENSOR_VIEW_H_

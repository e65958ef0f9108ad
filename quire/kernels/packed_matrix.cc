#include "quire/kernels/packed_matrix.h"

#include "quire/base/check.h"
#include "quire/kernels/kernels.h"

namespace quire {
namespace {

template <DType T>
size_t BlocksBytes(int64_t cols) {
  constexpr int64_t kCols = PackedBlock<T>::kGroups * kActivationGroup;
  QUIRE_CHECK(cols % kCols == 0);
  return static_cast<size_t>(cols / kCols) * sizeof(PackedBlock<T>);
}

size_t UnalignedPanelBytes(DType type, int64_t cols) {
  switch (type) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      return static_cast<size_t>(cols) * kPanelRows * Info(type).block_bytes;
    case DType::kQ4_0:
      return BlocksBytes<DType::kQ4_0>(cols);
    case DType::kQ4_1:
      return BlocksBytes<DType::kQ4_1>(cols);
    case DType::kQ5_0:
      return BlocksBytes<DType::kQ5_0>(cols);
    case DType::kQ5_1:
      return BlocksBytes<DType::kQ5_1>(cols);
    case DType::kQ8_0:
      return BlocksBytes<DType::kQ8_0>(cols);
    case DType::kQ2_K:
      return BlocksBytes<DType::kQ2_K>(cols);
    case DType::kQ3_K:
      return BlocksBytes<DType::kQ3_K>(cols);
    case DType::kQ4_K:
      return BlocksBytes<DType::kQ4_K>(cols);
    case DType::kQ5_K:
      return BlocksBytes<DType::kQ5_K>(cols);
    case DType::kQ6_K:
      return BlocksBytes<DType::kQ6_K>(cols);
    case DType::kFp8:
    case DType::kInt8:
    case DType::kInt4:
      break;
  }
  QUIRE_CHECK(false && "unknown DType");
}

}  // namespace

size_t PanelBytes(DType type, int64_t cols) {
  constexpr size_t kAlignment = 64;
  return (UnalignedPanelBytes(type, cols) + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace quire

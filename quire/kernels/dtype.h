// Element types of weights, activations and KV pages. The quantized ones are GGUF's: a block of elements that
// shares its scales. Layouts are documented in quantized_formats.h.
#ifndef QUIRE_KERNELS_DTYPE_H_
#define QUIRE_KERNELS_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace quire {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  // Of KV pages only, with scales beside the elements: kv_codec.h.
  kFp8,
  kInt8,
  kInt4
};
inline constexpr int kWeightTypeCount = 13;  // the first ones
inline constexpr int kDTypeCount = 16;

struct DTypeInfo {
  std::string_view name;  // "Q4_K"
  int block_elements;     // 1 for plain types, 32 or 256 for quantized ones
  int block_bytes;
};

const DTypeInfo& Info(DType type);

// Bytes of one row of `elements`. REQUIRES: elements % Info(type).block_elements == 0.
inline size_t RowBytes(DType type, int64_t elements) {
  return static_cast<size_t>(elements / Info(type).block_elements) * Info(type).block_bytes;
}

// Whether weights of this type are blocks that share scales.
inline bool IsQuantized(DType type) { return type >= DType::kQ4_0 && type <= DType::kQ6_K; }

}  // namespace quire

#endif  // QUIRE_KERNELS_DTYPE_H_

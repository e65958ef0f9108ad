#include "quire/kernels/dtype.h"

#include "quire/base/check.h"
#include "quire/kernels/quantized_formats.h"

namespace quire {
namespace {

template <DType T>
constexpr DTypeInfo InfoOf(std::string_view name) {
  return {name, GgufBlock<T>::kElements, static_cast<int>(sizeof(GgufBlock<T>))};
}

constexpr DTypeInfo kInfos[kDTypeCount] = {
    {"F32", 1, 4},
    {"F16", 1, 2},
    {"BF16", 1, 2},
    InfoOf<DType::kQ4_0>("Q4_0"),
    InfoOf<DType::kQ4_1>("Q4_1"),
    InfoOf<DType::kQ5_0>("Q5_0"),
    InfoOf<DType::kQ5_1>("Q5_1"),
    InfoOf<DType::kQ8_0>("Q8_0"),
    InfoOf<DType::kQ2_K>("Q2_K"),
    InfoOf<DType::kQ3_K>("Q3_K"),
    InfoOf<DType::kQ4_K>("Q4_K"),
    InfoOf<DType::kQ5_K>("Q5_K"),
    InfoOf<DType::kQ6_K>("Q6_K"),
    {"FP8", 1, 1},
    {"INT8", 1, 1},
    {"INT4", 2, 1},
};

}  // namespace

const DTypeInfo& Info(DType type) {
  const int index = static_cast<int>(type);
  QUIRE_CHECK(index < kDTypeCount);
  return kInfos[index];
}

}  // namespace quire

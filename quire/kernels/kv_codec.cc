#include "quire/kernels/kv_codec.h"

#include "quire/base/check.h"
#include "quire/kernels/kernels.h"

namespace quire {
namespace {

constexpr KvTypeRow kTypes[] = {
    {"f32", DType::kF32}, {"f16", DType::kF16},   {"bf16", DType::kBF16},
    {"fp8", DType::kFp8}, {"int8", DType::kInt8}, {"int4", DType::kInt4},
};

// A token of a codec: codes of `bits`, and a scale of 16 bits for each group.
size_t CodedBytes(int head_dim, int group, int bits) {
  const size_t groups = static_cast<size_t>((head_dim + group - 1) / group);
  return groups * (static_cast<size_t>(group) * bits / 8 + 2);
}

size_t TokenBytes(DType type, int head_dim) {
  switch (type) {
    case DType::kFp8:
      return CodedBytes(head_dim, head_dim, 8);
    case DType::kInt8:
      return CodedBytes(head_dim, kKvGroup8, 8);
    case DType::kInt4:
      return CodedBytes(head_dim, kKvGroup4, 4);
    default:
      return RowBytes(type, head_dim);
  }
}

}  // namespace

std::span<const KvTypeRow> KvTypes() { return kTypes; }

std::vector<std::string> KvTypeNames() {
  std::vector<std::string> names;
  for (const KvTypeRow& row : kTypes) names.emplace_back(row.name);
  return names;
}

std::optional<DType> FindKvType(std::string_view name) {
  for (const KvTypeRow& row : kTypes) {
    if (row.name == name) return row.type;
  }
  return std::nullopt;
}

std::string_view KvTypeName(DType type) {
  for (const KvTypeRow& row : kTypes) {
    if (row.type == type) return row.name;
  }
  QUIRE_CHECK(false);
}

bool IsKvType(DType type) {
  for (const KvTypeRow& row : kTypes) {
    if (row.type == type) return true;
  }
  return false;
}

size_t KvTileBytes(DType type, int page_tokens, int head_dim) {
  QUIRE_CHECK(IsKvType(type));
  return TokenBytes(type, head_dim) * page_tokens;
}

}  // namespace quire

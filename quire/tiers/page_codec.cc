#include "quire/tiers/page_codec.h"

#include <fmt/ranges.h>

#include "quire/kernels/kv_codec.h"

namespace quire {

extern const PageCodecRow kLosslessPages, kFp8Pages, kInt8Pages, kInt4Pages;

size_t PageShape::bytes() const {
  return 2 * KvTileBytes(type, page_tokens, head_dim) * static_cast<size_t>(heads);
}

std::span<const PageCodecRow* const> PageCodecTable() {
  static constexpr const PageCodecRow* kTable[] = {&kLosslessPages, &kFp8Pages, &kInt8Pages, &kInt4Pages};
  return kTable;
}

Result<const PageCodecRow*> FindPageCodec(std::string_view name) {
  std::vector<std::string_view> names;
  for (const PageCodecRow* row : PageCodecTable()) {
    if (row->name == name) return row;
    names.push_back(row->name);
  }
  return Fail(ErrorCode::kInvalidArgument, "'{}' is no way to compress KV pages; choose {}", name,
              fmt::join(names, ", "));
}

}  // namespace quire

#include "quire/kv/kv_layout.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "quire/base/check.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"

namespace quire {

Status CheckPageTokens(int page_tokens) {
  if (page_tokens > 0 && page_tokens % kPageLane == 0 && page_tokens <= 1024) return {};
  return Fail(ErrorCode::kInvalidArgument, "--page-tokens is {}; it must be a multiple of {} up to 1024",
              page_tokens, kPageLane);
}

KvLayout::KvLayout(const std::vector<LayerKv>& layers, int kv_heads, int head_dim, DType type,
                   int page_tokens)
    : places_(layers.size()),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      type_(type),
      page_tokens_(page_tokens) {
  QUIRE_CHECK(!layers.empty() && kv_heads > 0 && head_dim > 0);
  QUIRE_CHECK(page_tokens > 0 && page_tokens % kPageLane == 0);
  QUIRE_CHECK(IsKvType(type));

  std::map<int64_t, std::vector<int>> by_window;
  for (size_t i = 0; i < layers.size(); ++i) by_window[layers[i].window].push_back(static_cast<int>(i));
  size_t group_layers = 0;
  for (const auto& [window, members] : by_window) group_layers = std::gcd(group_layers, members.size());

  for (const auto& [window, members] : by_window) {
    for (size_t first = 0; first < members.size(); first += group_layers) {
      LayerGroup group{.layers = {}, .first_head = 0, .heads = kv_heads, .window = window};
      for (size_t i = 0; i < group_layers; ++i) {
        places_[members[first + i]] = {static_cast<int>(groups_.size()), static_cast<int>(i)};
        group.layers.push_back(members[first + i]);
      }
      groups_.push_back(std::move(group));
    }
  }
  tile_bytes_ = KvTileBytes(type, page_tokens, head_dim);
  page_bytes_ = 2 * tile_bytes_ * kv_heads * group_layers;
}

TilePlace KvLayout::KTile(int layer, int kv_head) const {
  const Place& place = places_[layer];
  const LayerGroup& group = groups_[place.group];
  const size_t before = static_cast<size_t>(place.index) * group.heads + (kv_head - group.first_head);
  return {.offset = 2 * tile_bytes_ * before, .bytes = tile_bytes_};
}

TilePlace KvLayout::VTile(int layer, int kv_head) const {
  const TilePlace k = KTile(layer, kv_head);
  return {.offset = k.offset + k.bytes, .bytes = k.bytes};
}

std::vector<TilePlace> KvLayout::Tiles() const {
  std::vector<TilePlace> tiles;
  for (const int layer : groups_.front().layers) {
    for (int head = 0; head < kv_heads_; ++head) {
      tiles.push_back(KTile(layer, head));
      tiles.push_back(VTile(layer, head));
    }
  }
  return tiles;
}

int64_t KvLayout::PagesFor(int64_t tokens, int64_t chunk_tokens) const {
  int64_t pages = 0;
  for (const LayerGroup& group : groups_) {
    int64_t in_group = PageCount(tokens);
    if (group.window > 0) {
      // While a chunk is computed, its first token's window and the whole chunk are there. That many
      // positions lie in one page more than they fill when they start at the end of one.
      const int64_t positions = group.window - 1 + std::min(chunk_tokens, tokens);
      in_group = std::min(in_group, PageCount(positions - 1) + 1);
    }
    pages += in_group;
  }
  return pages;
}

}  // namespace quire

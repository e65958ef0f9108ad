#include "quire/kv/kv_layout.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

#include "quire/base/check.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/kv/layer_types.h"

namespace quire {

Status CheckPageTokens(int page_tokens) {
  if (page_tokens > 0 && page_tokens % kPageLane == 0 && page_tokens <= kMostPageTokens) return {};
  return Fail(ErrorCode::kInvalidArgument, "--page-tokens is {}; it must be a multiple of {} up to {}",
              page_tokens, kPageLane, kMostPageTokens);
}

KvLayout::KvLayout(const std::vector<LayerKv>& layers, int kv_heads, int head_dim, int page_tokens)
    : kv_heads_(kv_heads), head_dim_(head_dim), page_tokens_(page_tokens) {
  QUIRE_CHECK(!layers.empty() && kv_heads > 0 && head_dim > 0);
  QUIRE_CHECK(page_tokens > 0 && page_tokens % kPageLane == 0);
  for (const LayerKv& layer : layers) {
    Place& place = places_.emplace_back();
    place.type = layer.type;
    place.tile_bytes = KvTileBytes(layer.type, page_tokens, head_dim);
    place.summaries = layer.summaries;
    place.summary.bytes = PageSummaryBytes(layer.summaries, page_tokens, head_dim);
  }

  name_ = LayerTypes::From(types()).Name();

  const std::vector<Kin> kins = KinsOf(layers);
  size_t least = SIZE_MAX;
  for (const size_t bytes : RunBytes(kins)) {
    std::vector<LayerGroup> groups = Pack(kins, bytes);
    if (groups.empty()) continue;
    const size_t page_bytes = std::ranges::max_element(groups, {}, &LayerGroup::bytes)->bytes;
    const size_t all = page_bytes * groups.size();
    if (all > least || (all == least && groups.size() >= groups_.size())) continue;
    least = all;
    page_bytes_ = page_bytes;
    groups_ = std::move(groups);
  }

  for (size_t g = 0; g < groups_.size(); ++g) PlaceLayers(g);
}

void KvLayout::PlaceLayers(size_t group) {
  size_t offset = 0;
  for (const int layer : groups_[group].layers) {
    places_[layer].group = static_cast<int>(group);
    places_[layer].offset = std::exchange(offset, offset + TileBytes(layer));
  }
  for (const int layer : groups_[group].layers) {
    places_[layer].summary.offset = std::exchange(offset, offset + SummaryBytes(layer));
  }
}

KvLayout KvLayout::Over(size_t page_bytes, const std::vector<LayerKv>& layers, int kv_heads, int head_dim) {
  const size_t lane_bytes = KvLayout(layers, kv_heads, head_dim, kPageLane).page_bytes();
  QUIRE_CHECK(lane_bytes <= page_bytes);
  const auto lanes = std::min<size_t>(page_bytes / lane_bytes, kMostPageTokens / kPageLane);
  KvLayout layout(layers, kv_heads, head_dim, static_cast<int>(lanes) * kPageLane);
  layout.page_bytes_ = page_bytes;
  return layout;
}

std::vector<KvLayout::Kin> KvLayout::KinsOf(const std::vector<LayerKv>& layers) const {
  std::map<int64_t, std::vector<int>> by_window;
  for (size_t i = 0; i < layers.size(); ++i) by_window[layers[i].window].push_back(static_cast<int>(i));
  std::vector<Kin> kins;
  for (auto& [window, members] : by_window) {
    std::ranges::stable_sort(members, std::greater(), [this](int layer) { return LayerBytes(layer); });
    kins.push_back({window, std::move(members)});
  }
  return kins;
}

// What layers that follow each other in a kin take together: the sizes that a page may be tried with.
std::set<size_t> KvLayout::RunBytes(const std::vector<Kin>& kins) const {
  std::set<size_t> sizes;
  for (const Kin& kin : kins) {
    for (size_t first = 0; first < kin.layers.size(); ++first) {
      size_t bytes = 0;
      for (size_t i = first; i < kin.layers.size(); ++i) sizes.insert(bytes += LayerBytes(kin.layers[i]));
    }
  }
  return sizes;
}

// Every layer goes into the first group of its kin that has room for it (first fit, the largest first).
// Nothing where one has room in none.
std::vector<LayerGroup> KvLayout::Pack(const std::vector<Kin>& kins, size_t most_bytes) const {
  std::vector<LayerGroup> groups;
  for (const Kin& kin : kins) {
    const size_t begin = groups.size();
    for (const int layer : kin.layers) {
      const size_t bytes = LayerBytes(layer);
      if (bytes > most_bytes) return {};
      auto room = std::find_if(groups.begin() + static_cast<int64_t>(begin), groups.end(),
                               [&](const LayerGroup& group) { return group.bytes + bytes <= most_bytes; });
      if (room == groups.end()) {
        room = groups.insert(room, {.layers = {}, .first_head = 0, .heads = kv_heads_, .window = kin.window});
      }
      room->layers.push_back(layer);
      room->bytes += bytes;
    }
  }
  return groups;
}

std::vector<DType> KvLayout::types() const {
  std::vector<DType> types;
  for (const Place& place : places_) types.push_back(place.type);
  return types;
}

std::vector<HeadTiles> KvLayout::Heads(size_t group) const {
  std::vector<HeadTiles> heads;
  for (const int layer : groups_[group].layers) {
    for (int head = 0; head < kv_heads_; ++head) {
      heads.push_back({type(layer), KTile(layer, head), VTile(layer, head)});
    }
  }
  return heads;
}

std::vector<TilePlace> KvLayout::Tiles(size_t group) const {
  std::vector<TilePlace> tiles;
  for (const HeadTiles& head : Heads(group)) {
    tiles.push_back(head.k);
    tiles.push_back(head.v);
  }
  for (const int layer : groups_[group].layers) {
    for (int head = 0; has_summaries(layer) && head < kv_heads_; ++head) {
      tiles.push_back(Summary(layer, head));
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

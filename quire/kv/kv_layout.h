// Where a token's keys and values lie inside a page.
//
// A page holds the KV of `page_tokens` consecutive tokens for one layer group: layers that keep the same
// tokens (all full-attention layers, or sliding-window layers of one window). Every page of a model has the
// same size, so that one pool serves all groups: layers are cut to groups of equal bytes, and where layers
// have pages of different types and no cut is even, a smaller group leaves the end of its pages empty. A
// group may also hold only some KV heads: then different heads of a layer have page tables of their own,
// which is what per-head eviction needs; models without such a policy pay nothing.
//
// Inside a page: layer by layer, KV head by KV head, first the K tile [head_dim][page_tokens], then the V
// tile [page_tokens][head_dim] (the layout the attention kernels read, see kernels.h; scales of codecs lie in
// the tile, see kv_codec.h). Behind all of them, of the layers that have any, the summaries of their keys
// (page_summary.h), in the same order: whoever shares, copies or recycles a page has its summaries with it.
#ifndef QUIRE_KV_KV_LAYOUT_H_
#define QUIRE_KV_KV_LAYOUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/kernels/dtype.h"
#include "quire/kernels/page_summary.h"
#include "quire/kv/page_arena.h"

namespace quire {

struct LayerGroup {
  std::vector<int> layers;  // model layers whose KV is in this group's pages, in page order
  int first_head = 0;       // KV heads [first_head, first_head + heads)
  int heads = 0;
  int64_t window = 0;  // tokens a query sees, itself included; 0: all of them
  size_t bytes = 0;    // that the layers take of a page
};

// The first position that a query at `position` sees. A window of 0 is none.
inline int64_t FirstVisible(int64_t position, int64_t window) {
  return window == 0 ? 0 : std::max<int64_t>(0, position + 1 - window);
}

// What the layout needs to know about one model layer.
struct LayerKv {
  int64_t window = 0;                          // 0: full attention
  DType type = DType::kF16;                    // one of KvTypes()
  SummaryKind summaries = SummaryKind::kNone;  // of the keys of full pages

  bool operator==(const LayerKv&) const = default;
};

// The tiles of one KV head of one layer, in every page of the layer's group.
struct HeadTiles {
  DType type = DType::kF16;
  TilePlace k, v;
};

inline constexpr int kMostPageTokens = 1024;
// Errors: kInvalidArgument, where a user's choice of tokens per page is none.
Status CheckPageTokens(int page_tokens);

class KvLayout {
 public:
  // Groups `layers` by window, cut so that the least bytes are left empty, and then to the fewest groups.
  // REQUIRES: at least one layer; page_tokens a positive multiple of kPageLane.
  KvLayout(const std::vector<LayerKv>& layers, int kv_heads, int head_dim, int page_tokens);

  // The same over pages of `page_bytes`, with as many tokens as there is room for.
  // REQUIRES: kPageLane tokens fit.
  static KvLayout Over(size_t page_bytes, const std::vector<LayerKv>& layers, int kv_heads, int head_dim);

  // The types of its pages, as LayerTypes writes them: "int8".
  const std::string& name() const { return name_; }
  const std::vector<LayerGroup>& groups() const { return groups_; }
  int group_of(int layer) const { return places_[layer].group; }
  DType type(int layer) const { return places_[layer].type; }
  SummaryKind summaries(int layer) const { return places_[layer].summaries; }
  bool has_summaries(int layer) const { return summaries(layer) != SummaryKind::kNone; }
  std::vector<DType> types() const;  // by layer
  int page_tokens() const { return page_tokens_; }
  int kv_heads() const { return kv_heads_; }
  int head_dim() const { return head_dim_; }
  int layers() const { return static_cast<int>(places_.size()); }

  size_t page_bytes() const { return page_bytes_; }
  // The tiles of (layer, kv_head) in a page of the layer's group; the V tile follows the K tile.
  TilePlace KTile(int layer, int kv_head) const {
    const Place& place = places_[layer];
    const size_t before = static_cast<size_t>(kv_head - groups_[place.group].first_head);
    return {.offset = place.offset + 2 * place.tile_bytes * before, .bytes = place.tile_bytes};
  }
  TilePlace VTile(int layer, int kv_head) const {
    const TilePlace k = KTile(layer, kv_head);
    return {.offset = k.offset + k.bytes, .bytes = k.bytes};
  }
  // REQUIRES: has_summaries(layer).
  TilePlace Summary(int layer, int kv_head) const {
    TilePlace place = places_[layer].summary;
    place.offset += place.bytes * static_cast<size_t>(kv_head - groups_[places_[layer].group].first_head);
    return place;
  }
  // The tiles of a page of the group, in order, and with the summaries behind them.
  std::vector<HeadTiles> Heads(size_t group) const;
  std::vector<TilePlace> Tiles(size_t group) const;

  // Pages of a group that so many tokens fill, the last one perhaps in part.
  int64_t PageCount(int64_t tokens) const { return (tokens + page_tokens_ - 1) / page_tokens_; }
  // The first page of the group that a query at `position` sees.
  int64_t FirstVisiblePage(size_t group, int64_t position) const {
    return FirstVisible(position, groups_[group].window) / page_tokens_;
  }

  // Pages a fresh sequence of `tokens` tokens needs at its largest moment, when prompts are computed in
  // chunks of at most `chunk_tokens`.
  int64_t PagesFor(int64_t tokens, int64_t chunk_tokens) const;

  // What of a page of the group one token takes.
  size_t SlotBytes(size_t group) const { return groups_[group].bytes / page_tokens_; }
  // Bytes of a page one token takes when every group keeps it, and those of one layer's keys and values.
  size_t BytesPerToken() const { return page_bytes_ * groups_.size() / page_tokens_; }
  size_t LayerBytesPerToken(int layer) const { return TileBytes(layer) / page_tokens_; }

 private:
  struct Place {
    int group = 0;
    DType type = DType::kF16;
    size_t tile_bytes = 0;
    size_t offset = 0;  // of the layer in a page
    SummaryKind summaries = SummaryKind::kNone;
    TilePlace summary;  // of its first head
  };
  // Layers of one window.
  struct Kin {
    int64_t window = 0;
    std::vector<int> layers;  // those with the most bytes first
  };

  std::vector<Kin> KinsOf(const std::vector<LayerKv>& layers) const;
  std::set<size_t> RunBytes(const std::vector<Kin>& kins) const;
  std::vector<LayerGroup> Pack(const std::vector<Kin>& kins, size_t most_bytes) const;
  size_t TileBytes(int layer) const { return 2 * places_[layer].tile_bytes * kv_heads_; }
  size_t SummaryBytes(int layer) const { return places_[layer].summary.bytes * kv_heads_; }
  size_t LayerBytes(int layer) const { return TileBytes(layer) + SummaryBytes(layer); }
  void PlaceLayers(size_t group);

  std::string name_;
  std::vector<LayerGroup> groups_;
  std::vector<Place> places_;  // by layer
  int kv_heads_;
  int head_dim_;
  int page_tokens_;
  size_t page_bytes_ = 0;
};

}  // namespace quire

#endif  // QUIRE_KV_KV_LAYOUT_H_

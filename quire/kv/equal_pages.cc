#include "quire/kv/equal_pages.h"

#include <algorithm>

#include "quire/kernels/kernels.h"

namespace quire {
namespace {

// The part of a page that is left empty in the layout that it fits worst.
double WorstWaste(std::span<const size_t> lane_bytes, size_t page_bytes) {
  size_t empty = 0;
  for (const size_t lane : lane_bytes) empty = std::max(empty, page_bytes % lane);
  return static_cast<double>(empty) / static_cast<double>(page_bytes);
}

}  // namespace

size_t EqualPageBytes(std::span<const size_t> lane_bytes, size_t least) {
  const size_t room = std::max(least, *std::ranges::max_element(lane_bytes)), end = room + lane_bytes[0];
  size_t best = room;
  for (const size_t lane : lane_bytes) {
    for (size_t bytes = (room + lane - 1) / lane * lane; bytes < end; bytes += lane) {
      const double waste = WorstWaste(lane_bytes, bytes), least_waste = WorstWaste(lane_bytes, best);
      if (waste < least_waste || (waste == least_waste && bytes < best)) best = bytes;
    }
  }
  return best;
}

std::vector<KvLayout> LayoutsOverEqualPages(std::span<const std::vector<LayerKv>> choices, int kv_heads,
                                            int head_dim, int page_tokens) {
  KvLayout first(choices[0], kv_heads, head_dim, page_tokens);
  if (choices.size() == 1) return {std::move(first)};
  std::vector<size_t> lane_bytes;
  for (const std::vector<LayerKv>& layers : choices) {
    lane_bytes.push_back(KvLayout(layers, kv_heads, head_dim, kPageLane).page_bytes());
  }
  const size_t page_bytes = EqualPageBytes(lane_bytes, first.page_bytes());
  std::vector<KvLayout> layouts;
  for (const std::vector<LayerKv>& layers : choices) {
    layouts.push_back(KvLayout::Over(page_bytes, layers, kv_heads, head_dim));
  }
  return layouts;
}

}  // namespace quire

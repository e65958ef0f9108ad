#include "quire/kv/kv_layout.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace quire {
namespace {

// Every tile of every layer of a group has bytes of its own inside the page, and together they fill it.
void ExpectTilesFillPages(const KvLayout& layout) {
  for (const LayerGroup& group : layout.groups()) {
    std::set<size_t> offsets;
    for (int layer : group.layers) {
      for (int head = group.first_head; head < group.first_head + group.heads; ++head) {
        offsets.insert(layout.KTile(layer, head).offset);
        offsets.insert(layout.VTile(layer, head).offset);
      }
    }
    EXPECT_EQ(offsets.size(), group.layers.size() * group.heads * 2);
    EXPECT_EQ(*offsets.begin(), 0u);
    for (size_t offset : offsets) EXPECT_EQ(offset % layout.tile_bytes(), 0u);
    EXPECT_EQ(*offsets.rbegin() + layout.tile_bytes(), layout.page_bytes());
  }
}

TEST(KvLayout, AModelOfFullAttentionIsOneGroup) {
  const KvLayout layout(std::vector<LayerKv>(30), 3, 64, DType::kF16, 16);
  ASSERT_EQ(layout.groups().size(), 1u);
  EXPECT_EQ(layout.groups()[0].layers.size(), 30u);
  EXPECT_EQ(layout.groups()[0].window, 0);
  EXPECT_EQ(layout.tile_bytes(), 16u * 64 * 2);
  EXPECT_EQ(layout.page_bytes(), 2u * 16 * 64 * 2 * 3 * 30);
  EXPECT_EQ(layout.BytesPerToken(), 23040u);
  ExpectTilesFillPages(layout);
}

// The shapes of SmolLM2 and of Gemma 3.
TEST(KvLayout, CodecsTakeAboutAHalfAndAQuarter) {
  for (const auto& [heads, head_dim] : {std::pair(3, 64), std::pair(1, 256)}) {
    const auto bytes = [&](DType type) {
      const KvLayout layout(std::vector<LayerKv>(6), heads, head_dim, type, 16);
      ExpectTilesFillPages(layout);
      EXPECT_EQ(layout.page_bytes() % 16, 0u);
      return static_cast<double>(layout.BytesPerToken());
    };
    const double half = bytes(DType::kF16);
    EXPECT_LE(bytes(DType::kInt8), 0.53 * half);
    EXPECT_LE(bytes(DType::kFp8), 0.53 * half);
    EXPECT_LE(bytes(DType::kInt4), 0.30 * half);
  }
}

TEST(KvLayout, WindowsAreCutToGroupsOfEqualSize) {
  std::vector<LayerKv> layers(18, LayerKv{.window = 512});
  for (int full : {5, 11, 17}) layers[full].window = 0;
  const KvLayout layout(layers, 1, 256, DType::kF32, 32);
  ASSERT_EQ(layout.groups().size(), 6u);  // 3 full layers, and 15 windowed ones in threes
  std::set<int> seen;
  for (size_t g = 0; g < layout.groups().size(); ++g) {
    const LayerGroup& group = layout.groups()[g];
    EXPECT_EQ(group.layers.size(), 3u);
    for (int layer : group.layers) {
      EXPECT_EQ(layout.group_of(layer), static_cast<int>(g));
      EXPECT_EQ(layers[layer].window, group.window);
      EXPECT_TRUE(seen.insert(layer).second);
    }
  }
  EXPECT_EQ(seen.size(), layers.size());
  ExpectTilesFillPages(layout);
}

TEST(KvLayout, SizesWithoutACommonDivisorFallBackToSingleLayers) {
  std::vector<LayerKv> layers(7);
  for (int i = 0; i < 3; ++i) layers[i].window = 128;
  const KvLayout layout(layers, 2, 64, DType::kBF16, 16);
  EXPECT_EQ(layout.groups().size(), 7u);
  ExpectTilesFillPages(layout);
}

}  // namespace
}  // namespace quire

#include "quire/kv/kv_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "quire/kernels/kv_codec.h"
#include "quire/kernels/page_summary.h"

namespace quire {
namespace {

// The tiles of every group lie one behind the other; returns the bytes that its pages leave empty, at most.
size_t ExpectTilesFollowEachOther(const KvLayout& layout) {
  size_t empty = 0;
  for (size_t g = 0; g < layout.groups().size(); ++g) {
    const LayerGroup& group = layout.groups()[g];
    size_t end = 0;
    for (const TilePlace tile : layout.Tiles(g)) {
      EXPECT_EQ(tile.offset, end);
      EXPECT_EQ(tile.offset % 16, 0u);
      end += tile.bytes;
    }
    for (const int layer : group.layers) {
      EXPECT_EQ(layout.group_of(layer), static_cast<int>(g));
      for (int head = 0; head < layout.kv_heads(); ++head) {
        EXPECT_EQ(layout.KTile(layer, head).bytes,
                  KvTileBytes(layout.type(layer), layout.page_tokens(), layout.head_dim()));
        EXPECT_EQ(layout.VTile(layer, head).bytes, layout.KTile(layer, head).bytes);
      }
    }
    EXPECT_LE(end, layout.page_bytes());
    empty = std::max(empty, layout.page_bytes() - end);
  }
  return empty;
}

void ExpectTilesFillPages(const KvLayout& layout) { EXPECT_EQ(ExpectTilesFollowEachOther(layout), 0u); }

TEST(KvLayout, AModelOfFullAttentionIsOneGroup) {
  const KvLayout layout(std::vector<LayerKv>(30), 3, 64, 16);
  ASSERT_EQ(layout.groups().size(), 1u);
  EXPECT_EQ(layout.groups()[0].layers.size(), 30u);
  EXPECT_EQ(layout.groups()[0].window, 0);
  EXPECT_EQ(layout.KTile(3, 1).bytes, 16u * 64 * 2);
  EXPECT_EQ(layout.page_bytes(), 2u * 16 * 64 * 2 * 3 * 30);
  EXPECT_EQ(layout.BytesPerToken(), 23040u);
  ExpectTilesFillPages(layout);
}

// The shapes of SmolLM2 and of Gemma 3.
TEST(KvLayout, CodecsTakeAboutAHalfAndAQuarter) {
  for (const auto& [heads, head_dim] : {std::pair(3, 64), std::pair(1, 256)}) {
    const auto bytes = [&](DType type) {
      const KvLayout layout(std::vector<LayerKv>(6, {.type = type}), heads, head_dim, 16);
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
  std::vector<LayerKv> layers(18, LayerKv{.window = 512, .type = DType::kF32});
  for (int full : {5, 11, 17}) layers[full].window = 0;
  const KvLayout layout(layers, 1, 256, 32);
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
  std::vector<LayerKv> layers(7, {.type = DType::kBF16});
  for (int i = 0; i < 3; ++i) layers[i].window = 128;
  const KvLayout layout(layers, 2, 64, 16);
  EXPECT_EQ(layout.groups().size(), 7u);
  ExpectTilesFillPages(layout);
}

TEST(KvLayout, LayersOfSeveralTypesLieInOnePage) {
  std::vector<LayerKv> layers(30, {.type = DType::kInt4});
  for (const int layer : {0, 1, 28, 29}) layers[layer].type = DType::kF16;
  const KvLayout layout(layers, 3, 64, 16);
  EXPECT_EQ(layout.groups().size(), 1u);
  ExpectTilesFillPages(layout);
  const size_t f16 = 2 * 3 * 64 * 2, int4 = 2 * 3 * (32 + 4);
  EXPECT_EQ(layout.LayerBytesPerToken(0), f16);
  EXPECT_EQ(layout.LayerBytesPerToken(2), int4);
  EXPECT_EQ(layout.BytesPerToken(), 4 * f16 + 26 * int4);
}

// Of Gemma 3: the layers of full attention in f16, the others in int8.
TEST(KvLayout, GroupsOfSeveralTypesLeaveLittleEmpty) {
  std::vector<LayerKv> layers(18, {.window = 512, .type = DType::kInt8});
  for (const int full : {5, 11, 17}) layers[full] = {.type = DType::kF16};
  const KvLayout layout(layers, 1, 256, 16);
  const size_t empty = ExpectTilesFollowEachOther(layout);
  size_t needed = 0;
  for (int layer = 0; layer < layout.layers(); ++layer) needed += layout.LayerBytesPerToken(layer);
  EXPECT_GE(layout.BytesPerToken(), needed);
  EXPECT_LE(layout.BytesPerToken(), 1.06 * needed);
  EXPECT_LT(empty, layout.page_bytes());
  EXPECT_LT(layout.groups().size(), 12u);
}

// Behind the tiles, so that these lie as they would without.
TEST(KvLayout, SummariesLieBehindTheTiles) {
  const KvLayout layout({{}, {.summaries = SummaryKind::kExtremes}, {.summaries = SummaryKind::kCodes}}, 2,
                        64, 16);
  const KvLayout without({{}, {}, {}}, 2, 64, 16);
  ASSERT_EQ(layout.groups().size(), 1u);
  EXPECT_FALSE(layout.has_summaries(0));
  EXPECT_TRUE(layout.has_summaries(1));
  EXPECT_EQ(layout.page_bytes(), without.page_bytes() + 2 * PageSummaryBytes(SummaryKind::kExtremes, 16, 64) +
                                     2 * PageSummaryBytes(SummaryKind::kCodes, 16, 64));
  EXPECT_EQ(layout.LayerBytesPerToken(1), without.LayerBytesPerToken(1));
  ExpectTilesFollowEachOther(layout);
  std::set<size_t> offsets;
  for (const int layer : {1, 2}) {
    for (const int head : {0, 1}) offsets.insert(layout.Summary(layer, head).offset);
  }
  EXPECT_EQ(offsets.size(), 4u);
  EXPECT_GE(*offsets.begin(), without.page_bytes());
}

// Whatever is asked for, every layer is somewhere and no page is larger than its largest group.
TEST(KvLayout, AnyMixtureOfTypesAndWindowsHasAPlaceForEveryLayer) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<LayerKv> layers(1 + random() % 20);
    for (LayerKv& layer : layers) {
      layer.window = random() % 2 == 0 ? 0 : 64 * (1 + random() % 2);
      layer.type = KvTypes()[random() % KvTypes().size()].type;
      constexpr SummaryKind kKinds[] = {SummaryKind::kNone, SummaryKind::kExtremes, SummaryKind::kCodes};
      layer.summaries = kKinds[random() % 3];
    }
    const KvLayout layout(layers, 1 + random() % 3, 64, 16 * (1 + random() % 3));
    std::set<int> seen;
    size_t largest = 0;
    for (size_t g = 0; g < layout.groups().size(); ++g) {
      for (const int layer : layout.groups()[g].layers) {
        EXPECT_TRUE(seen.insert(layer).second);
        EXPECT_EQ(layers[layer].window, layout.groups()[g].window);
        EXPECT_EQ(layers[layer].type, layout.type(layer));
      }
      const TilePlace last = layout.Tiles(g).back();
      largest = std::max(largest, last.offset + last.bytes);
    }
    EXPECT_EQ(seen.size(), layers.size());
    EXPECT_EQ(layout.page_bytes(), largest);
    ExpectTilesFollowEachOther(layout);
  }
}

}  // namespace
}  // namespace quire

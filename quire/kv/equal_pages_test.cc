#include "quire/kv/equal_pages.h"

#include <gtest/gtest.h>

#include <vector>

#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"

namespace quire {
namespace {

std::vector<LayerKv> Alike(DType type, int layers = 4) {
  return std::vector<LayerKv>(static_cast<size_t>(layers), {.type = type});
}

std::vector<KvLayout> Layouts(const std::vector<DType>& types, int page_tokens) {
  std::vector<std::vector<LayerKv>> choices;
  for (const DType type : types) choices.push_back(Alike(type));
  return LayoutsOverEqualPages(choices, 3, 64, page_tokens);
}

TEST(EqualPages, OneTypeHasItsOwnPages) {
  const std::vector<KvLayout> layouts = Layouts({DType::kInt4}, 48);
  ASSERT_EQ(layouts.size(), 1u);
  EXPECT_EQ(layouts[0].page_tokens(), 48);
  EXPECT_EQ(layouts[0].page_bytes(), KvLayout(Alike(DType::kInt4), 3, 64, 48).page_bytes());
}

TEST(EqualPages, FewerBitsHoldMoreTokens) {
  const std::vector<KvLayout> layouts = Layouts({DType::kF16, DType::kInt8, DType::kInt4}, 32);
  EXPECT_EQ(layouts[0].name(), "f16");
  EXPECT_EQ(layouts[0].page_tokens(), 32);
  EXPECT_EQ(layouts[1].page_tokens(), 64);
  EXPECT_EQ(layouts[2].page_tokens(), 112);
  for (const KvLayout& layout : layouts) {
    EXPECT_EQ(layout.page_bytes(), layouts[0].page_bytes());
    const std::vector<HeadTiles> heads = layout.Heads(0);
    EXPECT_LE(heads.back().v.offset + heads.back().v.bytes, layout.page_bytes());
    EXPECT_LE(layout.SlotBytes(0) * layout.page_tokens(), layout.page_bytes());
    EXPECT_GT(layout.SlotBytes(0) * layout.page_tokens(), 0.95 * layout.page_bytes());
  }
}

// Any two types, in any order: no page leaves half of itself empty, and the first has what was asked for.
TEST(EqualPages, NoPairOfTypesWastesHalf) {
  for (const KvTypeRow& a : KvTypes()) {
    for (const KvTypeRow& b : KvTypes()) {
      if (a.type == b.type) continue;
      for (const int page_tokens : {16, 32, 128}) {
        const std::vector<KvLayout> layouts = Layouts({a.type, b.type}, page_tokens);
        EXPECT_GE(layouts[0].page_tokens(), page_tokens) << a.name << " " << b.name;
        for (const KvLayout& layout : layouts) {
          EXPECT_EQ(layout.page_bytes(), layouts[0].page_bytes());
          EXPECT_GT(layout.SlotBytes(0) * layout.page_tokens(), 0.85 * layout.page_bytes())
              << a.name << " " << b.name << " " << page_tokens;
        }
      }
    }
  }
}

TEST(EqualPages, TakeTheBytesThatLeaveTheLeastEmpty) {
  EXPECT_EQ(EqualPageBytes(std::vector<size_t>{100}, 200), 200u);
  EXPECT_EQ(EqualPageBytes(std::vector<size_t>{100, 51}, 100), 102u);  // 100 leaves 49 of the second
  EXPECT_EQ(EqualPageBytes(std::vector<size_t>{10, 100}, 10), 100u);   // the first gets more tokens
}

}  // namespace
}  // namespace quire

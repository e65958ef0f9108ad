// The contract of the selection family, for every row of the table; then what is special about each.
#include "quire/policies/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace quire {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int64_t> Selected(const SelectionPolicy& policy, int64_t pages, std::vector<float> bounds) {
  std::vector<int64_t> selected = {77};  // what is left of the last query
  policy.Select({pages, bounds}, selected);
  return selected;
}

std::vector<float> RandomBounds(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> bounds(n);
  for (float& bound : bounds) bound = static_cast<float>(random() % 1000) - 500;
  return bounds;
}

class SelectionContract : public testing::TestWithParam<const SelectionRow*> {
 protected:
  std::unique_ptr<SelectionPolicy> Make() const {
    return MakeSelectionPolicy(std::string(GetParam()->name)).value();
  }
};

TEST_P(SelectionContract, PagesAreThereAndInOrder) {
  const auto policy = Make();
  for (int64_t pages = 1; pages < 100; ++pages) {
    for (const int64_t heads : {1, 3}) {
      const auto selected = Selected(*policy, pages, RandomBounds(pages * heads, pages));
      ASSERT_FALSE(selected.empty());
      EXPECT_TRUE(std::ranges::is_sorted(selected));
      EXPECT_EQ(std::ranges::adjacent_find(selected), selected.end());
      EXPECT_GE(selected.front(), 0);
      EXPECT_LT(selected.back(), pages);
      EXPECT_EQ(Selected(*policy, pages, RandomBounds(pages * heads, pages)), selected) << "always the same";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, SelectionContract, testing::ValuesIn(SelectionTable()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST(Quest, ReadsAsManyPagesAsTheBudgetSays) {
  const auto quest = MakeSelectionPolicy("quest:budget=0.25").value();
  for (const int64_t pages : {63, 255, 1000}) {
    const auto selected = Selected(*quest, pages, RandomBounds(pages, 1));
    EXPECT_EQ(std::ssize(selected) + 1, (pages + 1 + 2) / 4) << "with the query's own";
  }
  EXPECT_EQ(Selected(*quest, 7, RandomBounds(7, 1)).size(), 3u) << "four pages at least";
  EXPECT_THAT(Selected(*quest, 3, RandomBounds(3, 1)), ElementsAre(0, 1, 2));
}

TEST(Quest, ReadsAllWithABudgetOfOne) {
  const auto quest = MakeSelectionPolicy("quest:budget=1").value();
  EXPECT_EQ(Selected(*quest, 50, RandomBounds(50, 1)).size(), 50u);
}

TEST(Quest, ReadsTheFirstTheLatestAndTheHighest) {
  const auto quest = MakeSelectionPolicy("quest:budget=0.3").value();
  std::vector<float> bounds(19, -1.0f);
  bounds[7] = 3;
  bounds[5] = 2;
  bounds[11] = 2.5;
  bounds[0] = bounds[18] = -9;
  EXPECT_THAT(Selected(*quest, 19, bounds), ElementsAre(0, 5, 7, 11, 18));
}

TEST(Quest, AnyHeadMayWantAPage) {
  const auto quest = MakeSelectionPolicy("quest:budget=0.2").value();
  std::vector<float> bounds(3 * 30);
  bounds[1 * 30 + 13] = 1;
  bounds[2 * 30 + 21] = 2;
  const auto selected = Selected(*quest, 30, bounds);
  EXPECT_THAT(selected, Contains(13));
  EXPECT_THAT(selected, Contains(21));
}

TEST(Quest, LeavesTheFirstLayersDense) {
  const auto quest = MakeSelectionPolicy("quest").value();
  EXPECT_FALSE(quest->Selects(1));
  EXPECT_TRUE(quest->Selects(2));
  EXPECT_TRUE(MakeSelectionPolicy("quest:dense_layers=0").value()->Selects(0));
}

TEST(SelectionTable, UnknownNamesAreAnsweredWithTheKnown) {
  EXPECT_THAT(MakeSelectionPolicy("quests").error().message, HasSubstr("quest"));
  EXPECT_THAT(MakeSelectionPolicy("quest:budget=0").error().message, HasSubstr("0.001"));
  EXPECT_THAT(MakeSelectionPolicy("quest:share=1").error().message, HasSubstr("budget"));
}

}  // namespace
}  // namespace quire

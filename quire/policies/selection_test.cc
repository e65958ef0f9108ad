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

std::vector<int64_t> Selected(const SelectionPolicy& policy, int64_t pages, std::vector<float> scores) {
  std::vector<int64_t> selected = {77};  // what is left of the last query
  policy.Select({pages, scores}, selected);
  return selected;
}

std::vector<float> RandomScores(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> scores(n);
  for (float& score : scores) score = static_cast<float>(random() % 1000) - 500;
  return scores;
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
      const auto selected = Selected(*policy, pages, RandomScores(pages * heads, pages));
      ASSERT_FALSE(selected.empty());
      EXPECT_TRUE(std::ranges::is_sorted(selected));
      EXPECT_EQ(std::ranges::adjacent_find(selected), selected.end());
      EXPECT_GE(selected.front(), 0);
      EXPECT_LT(selected.back(), pages);
      EXPECT_EQ(Selected(*policy, pages, RandomScores(pages * heads, pages)), selected) << "always the same";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, SelectionContract, testing::ValuesIn(SelectionTable()),
                         [](const auto& info) { return std::string(info.param->name); });

// Those that take a share of the pages, by their scores.
class Budgeted : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<SelectionPolicy> Make(const std::string& params = "") const {
    return MakeSelectionPolicy(GetParam() + params).value();
  }
};

TEST_P(Budgeted, ReadsAsManyPagesAsTheBudgetSays) {
  const auto policy = Make(":budget=0.25");
  for (const int64_t pages : {63, 255, 1000}) {
    const auto selected = Selected(*policy, pages, RandomScores(pages, 1));
    EXPECT_EQ(std::ssize(selected) + 1, (pages + 1 + 2) / 4) << "with the query's own";
  }
  EXPECT_EQ(Selected(*policy, 7, RandomScores(7, 1)).size(), 3u) << "four pages at least";
  EXPECT_THAT(Selected(*policy, 3, RandomScores(3, 1)), ElementsAre(0, 1, 2));
}

TEST_P(Budgeted, ReadsAllWithABudgetOfOne) {
  EXPECT_EQ(Selected(*Make(":budget=1"), 50, RandomScores(50, 1)).size(), 50u);
}

TEST_P(Budgeted, ReadsTheFirstTheLatestAndTheHighest) {
  std::vector<float> scores(19, -1.0f);
  scores[7] = 3;
  scores[5] = 2;
  scores[11] = 2.5;
  scores[0] = scores[18] = -9;
  EXPECT_THAT(Selected(*Make(":budget=0.3"), 19, scores), ElementsAre(0, 5, 7, 11, 18));
}

TEST_P(Budgeted, AnyHeadMayWantAPage) {
  std::vector<float> scores(3 * 30);
  scores[1 * 30 + 13] = 1;
  scores[2 * 30 + 21] = 2;
  const auto selected = Selected(*Make(":budget=0.2"), 30, scores);
  EXPECT_THAT(selected, Contains(13));
  EXPECT_THAT(selected, Contains(21));
}

TEST_P(Budgeted, LeavesTheFirstLayersDense) {
  const auto policy = Make();
  EXPECT_FALSE(policy->Selects(1));
  EXPECT_TRUE(policy->Selects(2));
  EXPECT_TRUE(Make(":dense_layers=0")->Selects(0));
}

INSTANTIATE_TEST_SUITE_P(Policies, Budgeted, testing::Values("lowbit", "quest"),
                         [](const auto& info) { return std::string(info.param); });

// One head is sure of page 4 and knows no other; two others lean a little to page 7, with higher scores.
TEST(Selection, QuestTakesTheHighestScoreAndLowBitTheLargestShare) {
  std::vector<float> scores(3 * 10);
  scores[4] = 8;
  for (const int head : {1, 2}) {
    for (int page = 0; page < 10; ++page) scores[head * 10 + page] = 20;
    scores[head * 10 + 7] = 20.5;
  }
  EXPECT_THAT(Selected(*MakeSelectionPolicy("quest:budget=0.1").value(), 10, scores), ElementsAre(0, 7, 9));
  EXPECT_THAT(Selected(*MakeSelectionPolicy("lowbit:budget=0.1").value(), 10, scores), ElementsAre(0, 4, 9));
}

TEST(SelectionTable, UnknownNamesAreAnsweredWithTheKnown) {
  EXPECT_THAT(MakeSelectionPolicy("quests").error().message, HasSubstr("quest"));
  EXPECT_THAT(MakeSelectionPolicy("quest:budget=0").error().message, HasSubstr("0.001"));
  EXPECT_THAT(MakeSelectionPolicy("quest:share=1").error().message, HasSubstr("budget"));
}

}  // namespace
}  // namespace quire

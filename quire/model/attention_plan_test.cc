#include "quire/model/attention_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace quire {
namespace {

struct Sequences {
  std::vector<std::vector<Token>> tokens;
  StepPlan plan;

  void Add(int64_t position, int64_t count) {
    tokens.emplace_back(count, Token{1});
    plan.sequences.push_back({.tokens = {}, .position = position});
    for (size_t i = 0; i < tokens.size(); ++i) plan.sequences[i].tokens = tokens[i];
  }
};

// How often each (row, position) is computed by the plan's tasks.
std::map<std::pair<int64_t, int64_t>, int> Covered(const AttentionPlan& plan) {
  std::map<std::pair<int64_t, int64_t>, int> covered;
  for (const AttentionTask& task : plan.tasks) {
    const AttentionBlock& block = plan.blocks[task.block];
    for (int64_t split = task.split_begin; split < task.split_end; ++split) {
      for (int64_t t = 0; t < block.tokens; ++t) {
        const PositionRange part = VisibleRange(block.position + t, plan.window).InSplit(split);
        for (int64_t p = part.begin; p < part.end; ++p) ++covered[{block.first_row + t, p}];
      }
    }
  }
  return covered;
}

TEST(AttentionPlan, EveryQueryMeetsEveryVisibleKeyOnce) {
  std::mt19937 random(1);
  for (int round = 0; round < 30; ++round) {
    Sequences step;
    for (int s = 0; s < 3; ++s) step.Add(random() % 1500, 1 + random() % (s == 0 ? 1 : 90));
    const int64_t window = round % 3 == 0 ? 0 : 1 + random() % 700;
    AttentionPlan plan;
    plan.Build(step.plan, window, 1 + random() % 32, round % 2 == 0 ? 0 : 1000);

    std::map<std::pair<int64_t, int64_t>, int> expected;
    int64_t row = 0;
    for (const SequenceStep& s : step.plan.sequences) {
      for (int64_t i = 0; i < std::ssize(s.tokens); ++i, ++row) {
        const PositionRange seen = VisibleRange(s.position + i, window);
        for (int64_t p = seen.begin; p < seen.end; ++p) expected[{row, p}] = 1;
      }
    }
    EXPECT_EQ(Covered(plan), expected);
  }
}

TEST(AttentionPlan, ADecodedTokenIsCutAtItsSplits) {
  Sequences step;
  step.Add(3 * kAttentionSplit + 5, 1);
  AttentionPlan plan;
  plan.Build(step.plan, 0, 16, 0);
  ASSERT_EQ(plan.blocks.size(), 1u);
  EXPECT_EQ(plan.blocks[0].tasks, 4);
  EXPECT_EQ(plan.tasks.size(), 4u);
  EXPECT_EQ(plan.shared_slots, 4);
}

TEST(AttentionPlan, APromptIsCutOnlyWhereTasksAreFew) {
  Sequences step;
  step.Add(kAttentionSplit - 8, 16);
  AttentionPlan plan;
  plan.Build(step.plan, 0, 16, /*enough_blocks=*/1);
  EXPECT_EQ(plan.tasks.size(), 1u);
  EXPECT_EQ(plan.most_slots, 32);
  plan.Build(step.plan, 0, 16, /*enough_blocks=*/2);
  EXPECT_EQ(plan.tasks.size(), 2u);
  EXPECT_EQ(plan.shared_slots, 32);
}

TEST(AttentionPlan, SplitsBelowTheWindowAreSkipped) {
  Sequences step;
  step.Add(10 * kAttentionSplit, 1);
  AttentionPlan plan;
  plan.Build(step.plan, 100, 16, 0);
  EXPECT_EQ(plan.blocks[0].first_split, 9);
  EXPECT_EQ(plan.blocks[0].splits, 2);
}

}  // namespace
}  // namespace quire

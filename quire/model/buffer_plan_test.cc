#include "quire/model/buffer_plan.h"

#include <gtest/gtest.h>

#include <random>

namespace quire {
namespace {

TEST(BufferPlanTest, BuffersThatAreNeverLiveTogetherShareBytes) {
  const BufferNeed needs[] = {{1024, 0b001}, {640, 0b010}, {320, 0b110}, {64, 0b111}};
  const BufferPlan plan = PlanBuffers(needs);
  EXPECT_EQ(plan.offsets[0], 0u);
  EXPECT_EQ(plan.offsets[1], 0u);
  EXPECT_EQ(plan.offsets[2], 640u);
  EXPECT_EQ(plan.offsets[3], 1024u);
  EXPECT_EQ(plan.bytes, 1088u);
  EXPECT_EQ(LeastBytes(needs), 1088u);
  EXPECT_EQ(SeparateBytes(needs), 2048u);
}

TEST(BufferPlanTest, TheSmallestGapThatFitsIsTaken) {
  // The first three keep the gaps of 4 and 5; what comes last fits both.
  const BufferNeed needs[] = {{640, 0b01}, {640, 0b11}, {320, 0b10}, {256, 0b10}};
  const BufferPlan plan = PlanBuffers(needs);
  EXPECT_EQ(plan.offsets, (std::vector<size_t>{0, 640, 0, 320}));
  EXPECT_EQ(plan.bytes, 1280u);
}

TEST(BufferPlanTest, NothingNeedsNothing) {
  EXPECT_EQ(PlanBuffers({}).bytes, 0u);
  const BufferNeed nothing[] = {{0, 1}, {1, 1}};
  EXPECT_EQ(PlanBuffers(nothing).bytes, 64u);
}

// Whatever the needs, live buffers never overlap, and the arena lies between the two bounds.
TEST(BufferPlanTest, HoldsForAnyNeeds) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<BufferNeed> needs(random() % 24);
    for (BufferNeed& need : needs) need = {random() % 5000, static_cast<uint32_t>(random() & random())};
    const BufferPlan plan = PlanBuffers(needs);
    ASSERT_GE(plan.bytes, LeastBytes(needs));
    ASSERT_LE(plan.bytes, SeparateBytes(needs));
    for (size_t i = 0; i < needs.size(); ++i) {
      ASSERT_EQ(plan.offsets[i] % BufferPlan::kBufferAlignment, 0u);
      ASSERT_LE(plan.offsets[i] + needs[i].bytes, plan.bytes);
      for (size_t j = 0; j < i; ++j) {
        if ((needs[i].live & needs[j].live) == 0) continue;
        ASSERT_TRUE(plan.offsets[i] + needs[i].bytes <= plan.offsets[j] ||
                    plan.offsets[j] + needs[j].bytes <= plan.offsets[i])
            << round << ": " << i << " and " << j;
      }
    }
  }
}

}  // namespace
}  // namespace quire

#include "quire/policies/batch_advice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace quire {
namespace {

using StepTimes = std::function<double(int64_t batch)>;

std::vector<BatchTime> MeasureAll(const StepTimes& step_s, const BatchGoal& goal) {
  std::vector<BatchTime> measured;
  while (const auto batch = NextBatch(measured, goal)) {
    const BatchTime time{*batch, step_s(*batch)};
    const auto at = std::ranges::lower_bound(measured, *batch, {}, &BatchTime::batch);
    EXPECT_TRUE(at == measured.end() || at->batch != *batch) << *batch << " was measured twice";
    measured.insert(at, time);
    if (measured.size() > 20) break;
  }
  return measured;
}

// Reads weights in 20 ms, and then takes as long as multiplying does.
double Roofline(int64_t batch) { return std::max(0.020, 0.001 * static_cast<double>(batch)) + 0.001; }

TEST(BatchAdviceTest, FindsTheBeginningOfThePlateau) {
  const BatchGoal goal{.most = 256};
  const auto measured = MeasureAll(Roofline, goal);
  EXPECT_LE(measured.size(), 9u);
  const BatchAdvice advice = AdviseBatch(measured, goal);
  const double peak = 256 / Roofline(256);
  EXPECT_GE(static_cast<double>(advice.choice.batch) / Roofline(advice.choice.batch), 0.93 * peak);
  EXPECT_LE(advice.choice.batch, 64);
  EXPECT_NEAR(advice.peak.tokens_per_s(), peak, 0.1 * peak);
}

// Throughput that grows by a little with every batch adds up to what is worth having.
TEST(BatchAdviceTest, FollowsAPlateauThatStillGrows) {
  const auto tokens_per_s = [](int64_t batch) { return 400 * std::pow(batch, std::log(1.04) / std::log(4)); };
  const BatchGoal goal{.most = 256};
  const auto measured =
      MeasureAll([&](int64_t batch) { return static_cast<double>(batch) / tokens_per_s(batch); }, goal);
  const BatchAdvice advice = AdviseBatch(measured, goal);
  EXPECT_GE(advice.choice.tokens_per_s(), 0.95 * tokens_per_s(256));
  EXPECT_LE(advice.choice.batch, 0.6 * 256);
}

TEST(BatchAdviceTest, KeepsTheGoal) {
  const BatchGoal goal{.most = 256, .step_s = 0.0105};
  const auto linear = [](int64_t batch) { return 0.005 + 0.001 * static_cast<double>(batch); };
  const auto measured = MeasureAll(linear, goal);
  const BatchAdvice advice = AdviseBatch(measured, goal);
  EXPECT_LE(advice.choice.step_s, goal.step_s);
  EXPECT_GE(advice.choice.batch, 3);
  EXPECT_LE(advice.choice.batch, 5);
}

TEST(BatchAdviceTest, AGoalThatNothingKeepsGivesTheSmallest) {
  const BatchGoal goal{.most = 64, .step_s = 0.001};
  const auto measured = MeasureAll(Roofline, goal);
  EXPECT_EQ(measured.size(), 1u);
  EXPECT_EQ(AdviseBatch(measured, goal).choice.batch, 1);
}

TEST(BatchAdviceTest, WhereBatchesDoNotHelpOneIsEnough) {
  const BatchGoal goal{.most = 64};
  const auto measured = MeasureAll([](int64_t batch) { return 0.01 * static_cast<double>(batch); }, goal);
  EXPECT_EQ(AdviseBatch(measured, goal).choice.batch, 1);
}

TEST(BatchAdviceTest, MemoryBoundsTheBatch) {
  const BatchGoal goal{.most = 7};
  const auto measured = MeasureAll([](int64_t) { return 0.01; }, goal);
  EXPECT_EQ(measured.back().batch, 7);
  EXPECT_EQ(AdviseBatch(measured, goal).choice.batch, 7);
  EXPECT_EQ(MeasureAll(Roofline, {.most = 1}).size(), 1u);
}

}  // namespace
}  // namespace quire

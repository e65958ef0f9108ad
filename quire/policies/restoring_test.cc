#include "quire/policies/restoring.h"

#include <gtest/gtest.h>

#include <vector>

namespace quire {
namespace {

constexpr int64_t kPageTokens = 16, kStepTokens = 512;
constexpr int64_t kBytes = 400'000;  // of a page

// Steps that take 2 ms, 1 ms a token, and more the deeper the context.
StepTime Computation(double seconds_per_token = 1e-3, double seconds_per_attended = 1e-7) {
  StepTime time;
  for (int i = 0; i < 100; ++i) {
    StepWork work;
    work.Add(i % 7 * 300, 1 + i % 5 * 100, i % 2 == 0);
    time.Learn(work, 2e-3 + static_cast<double>(work.tokens) * seconds_per_token +
                         static_cast<double>(work.attended) * seconds_per_attended);
  }
  return time;
}

TransferTime Reads(double latency_s, double bytes_per_s) {
  TransferTime time;
  for (int i = 0; i < 50; ++i) {
    const int64_t bytes = i % 2 == 0 ? 4096 : 8 << 20;
    time.Learn(bytes, latency_s + static_cast<double>(bytes) / bytes_per_s);
  }
  return time;
}

// `counts` pages of every tier, one tier after the other.
std::vector<PageBelow> Pages(std::vector<int> counts) {
  std::vector<PageBelow> pages;
  for (size_t tier = 0; tier < counts.size(); ++tier) {
    for (int i = 0; i < counts[tier]; ++i) pages.push_back({.tier = tier, .bytes = kBytes});
  }
  return pages;
}

size_t Choose(const std::vector<PageBelow>& pages, const std::vector<TierFacts>& tiers, const StepTime& time,
              int64_t tokens, int64_t position = 0) {
  return PagesToRestore({.position = position,
                         .tokens = tokens,
                         .page_tokens = kPageTokens,
                         .pages = pages,
                         .tiers = tiers,
                         .step_tokens = kStepTokens,
                         .computation = time});
}

TEST(TransferTime, LearnsLatencyAndBandwidth) {
  const TransferTime time = Reads(0.01, 1e9);
  EXPECT_NEAR(time.Seconds(0), 0.01, 1e-3);
  EXPECT_NEAR(time.Seconds(100'000'000), 0.11, 5e-3);
  EXPECT_NEAR(time.BytesPerSecond(), 1e9, 5e7);
  EXPECT_EQ(TransferTime().Seconds(1 << 20), 0);
  EXPECT_EQ(TransferTime().BytesPerSecond(), 0);
}

TEST(TransferTime, FollowsADiskThatGetsSlow) {
  TransferTime time = Reads(0.001, 1e9);
  for (int i = 0; i < 100; ++i) time.Learn(i % 2 == 0 ? 4096 : 8 << 20, 1 + (i % 2) * 0.8);
  EXPECT_NEAR(time.Seconds(8 << 20), 1.8, 0.2);
}

TEST(Restoring, WhatIsFasterComesBackWhole) {
  // 40 pages: 16 MB, 0.64 s to compute.
  EXPECT_EQ(Choose(Pages({40}), {{Reads(0.001, 1e9)}}, Computation(), 641), 40u);
}

TEST(Restoring, WhatIsSlowerIsComputed) {
  EXPECT_EQ(Choose(Pages({40}), {{Reads(0.001, 10e6)}}, Computation(), 641), 0u);
  EXPECT_EQ(Choose(Pages({40}), {{Reads(5, 1e9)}}, Computation(), 641), 0u) << "it starts too late";
}

TEST(Restoring, AShortPrefixIsNotWorthTheLatency) {
  const std::vector<TierFacts> tiers = {{Reads(0.1, 1e9)}};
  EXPECT_EQ(Choose(Pages({2}), tiers, Computation(), 33), 0u);
  EXPECT_EQ(Choose(Pages({60}), tiers, Computation(), 961), 60u);
}

TEST(Restoring, WhatIsInMemoryComesBackAndWhatIsOnASlowDiskIsComputed) {
  const std::vector<TierFacts> tiers = {{Reads(1e-5, 2e9)}, {Reads(0.005, 10e6)}};
  EXPECT_EQ(Choose(Pages({25, 15}), tiers, Computation(), 641), 25u);
}

TEST(Restoring, TheDeeperThePagesTheMoreTheyAreWorth) {
  const std::vector<TierFacts> tiers = {{Reads(0.001, 20e6)}};  // 20 ms a page; 16 ms to compute at depth 0
  const StepTime time = Computation(1e-3, 1e-6);
  EXPECT_EQ(Choose(Pages({20}), tiers, time, 321), 0u);
  EXPECT_EQ(Choose(Pages({20}), tiers, time, 4321, 4000), 20u);
}

TEST(Restoring, ItWaitsBehindOthers) {
  std::vector<TierFacts> tiers = {{Reads(0.001, 1e9)}};
  EXPECT_EQ(Choose(Pages({40}), tiers, Computation(), 641), 40u);
  tiers[0].bytes_before = 2'000'000'000;
  EXPECT_EQ(Choose(Pages({40}), tiers, Computation(), 641), 0u);
}

TEST(Restoring, ItEndsWhereASequenceCanGoOn) {
  const std::vector<TierFacts> tiers = {{Reads(1e-5, 2e9)}, {Reads(0.005, 10e6)}};
  std::vector<PageBelow> pages = Pages({25, 15});
  for (size_t i = 20; i < 39; ++i) pages[i].end = false;
  EXPECT_EQ(Choose(pages, tiers, Computation(), 641), 20u);
}

TEST(Restoring, WhatIsNotKnownIsBroughtBack) {
  EXPECT_EQ(Choose(Pages({40}), {{Reads(0.1, 1e6)}}, StepTime(), 641), 40u) << "of computing";
  EXPECT_EQ(Choose(Pages({40}), {{TransferTime()}}, Computation(), 641), 40u) << "of moving";
  EXPECT_EQ(Choose({}, {{TransferTime()}}, Computation(), 641), 0u);
}

TEST(Restoring, OneStepDoesNotTellWhatATokenTakes) {
  StepTime computation;
  StepWork step;
  step.Add(0, 481, true);
  computation.Learn(step, 0.5);
  EXPECT_EQ(Choose(Pages({30}), {{Reads(0.001, 1e9)}}, computation, 481), 30u);
}

TEST(Restoring, StepsOfSingleTokensDoNotTellWhatATokenTakes) {
  StepTime computation;
  for (int64_t position = 480; position < 520; ++position) {
    StepWork step;
    step.Add(position, 1, true);
    computation.Learn(step, 0.002);
  }
  EXPECT_EQ(Choose(Pages({30}), {{Reads(0.1, 1e9)}}, computation, 481), 30u);
  StepWork prompt;
  prompt.Add(0, 481, true);
  computation.Learn(prompt, 0.008);
  EXPECT_EQ(Choose(Pages({30}), {{Reads(0.1, 1e9)}}, computation, 481), 0u) << "now it is known, and fast";
}

}  // namespace
}  // namespace quire

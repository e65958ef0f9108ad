#include "quire/policies/step_time.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace quire {
namespace {

// A machine: 20 ms to read the weights, 2 ms a token, 1 ms for logits, 10 ns for every position attended to.
double TimeOf(const StepWork& work) {
  return 0.020 + 0.002 * static_cast<double>(work.tokens) + 0.001 * static_cast<double>(work.logits) +
         1e-8 * static_cast<double>(work.attended);
}

StepWork Decodes(int64_t sequences, int64_t depth) {
  StepWork work;
  for (int64_t i = 0; i < sequences; ++i) work.Add(depth, 1, true);
  return work;
}

// Steps of a server: up to 16 decode, and often there is a chunk of a prompt.
StepTime Experienced(double noise, double speed = 1) {
  std::mt19937 random(5);
  std::normal_distribution<double> jitter(1, noise);
  StepTime time;
  for (int i = 0; i < 300; ++i) {
    StepWork work = Decodes(1 + random() % 16, random() % 4000);
    if (random() % 3 > 0) work.Add(random() % 4000, 1 + random() % 200, random() % 4 == 0);
    time.Learn(work, TimeOf(work) / speed * jitter(random));
  }
  return time;
}

TEST(StepTime, LearnsWhatStepsTake) {
  const StepTime exact = Experienced(0), noisy = Experienced(0.05);
  for (const int64_t chunk : {16, 64, 200}) {
    for (const int64_t depth : {100, 3000}) {
      StepWork work = Decodes(12, depth);
      work.Add(depth, chunk, false);
      EXPECT_NEAR(exact.Seconds(work), TimeOf(work), 0.02 * TimeOf(work)) << chunk << " at " << depth;
      EXPECT_NEAR(noisy.Seconds(work), TimeOf(work), 0.10 * TimeOf(work)) << chunk << " at " << depth;
    }
  }
}

TEST(StepTime, ChunksEndWithinTheGoal) {
  const StepTime time = Experienced(0);
  for (const double goal : {0.1, 0.2, 0.5}) {
    for (const int64_t depth : {0, 1000, 20'000}) {
      const StepWork decodes = Decodes(8, 1000);
      const int64_t chunk = time.ChunkWithin(goal, decodes, depth, 100'000);
      StepWork with = decodes, with_more = decodes;
      with.Add(depth, chunk, false);
      with_more.Add(depth, chunk + 1 + chunk / 10, false);
      EXPECT_LE(TimeOf(with), 1.03 * goal);
      EXPECT_GT(TimeOf(with_more), 0.97 * goal) << "more would have fitted";
    }
  }
  EXPECT_EQ(time.ChunkWithin(0.5, Decodes(8, 1000), 0, 20), 20);
  EXPECT_EQ(time.ChunkWithin(0.03, Decodes(8, 1000), 0, 512), 0);
  EXPECT_LT(time.ChunkWithin(0.5, {}, 50'000, 512), time.ChunkWithin(0.5, {}, 0, 512)) << "deep costs more";
}

TEST(StepTime, FollowsAMachineThatSlowsDown) {
  StepTime time = Experienced(0);
  const StepWork work = Decodes(4, 500);
  StepWork with_chunk = work;
  with_chunk.Add(500, 100, false);
  for (int i = 0; i < 60; ++i) {
    time.Learn(work, 3 * TimeOf(work));
    time.Learn(with_chunk, 3 * TimeOf(with_chunk));
  }
  EXPECT_NEAR(time.Seconds(with_chunk), 3 * TimeOf(with_chunk), 0.15 * 3 * TimeOf(with_chunk));
}

TEST(StepTime, StartsCautiously) {
  StepTime time;
  EXPECT_EQ(time.ChunkWithin(0.1, Decodes(1, 10), 0, 512), 64);
  EXPECT_EQ(time.ChunkWithin(0.1, Decodes(1, 10), 0, 5), 5);
  // Equal steps forever tell of one size only; that one is right, and nothing degenerates.
  for (int i = 0; i < 10'000; ++i) time.Learn(Decodes(2, 100), 0.05);
  EXPECT_NEAR(time.Seconds(Decodes(2, 100)), 0.05, 0.001);
  EXPECT_GE(time.ChunkWithin(0.1, Decodes(2, 100), 100, 512), 0);
}

TEST(StepTime, DecodesDoNotTellWhatAPromptTakes) {
  for (const int64_t most_sequences : {1, 2, 32}) {
    SCOPED_TRACE(most_sequences);
    StepTime time;
    for (int64_t i = 0; i < 200; ++i) {
      const StepWork work = Decodes(1 + i % most_sequences, 100 + i);
      time.Learn(work, TimeOf(work));
    }
    EXPECT_FALSE(time.TellsTokensApart());
    for (const double goal : {0.03, 0.1, 0.5, 10.0}) {
      // Two prompts in a step.
      StepWork work = Decodes(most_sequences, 300);
      const int64_t first = time.ChunkWithin(goal, work, 0, 5000);
      work.Add(0, first, false);
      work.Add(0, time.ChunkWithin(goal, work, 0, 5000), false);
      EXPECT_LE(work.tokens_without_logits(), 64);
      if (first > 0) {
        EXPECT_LE(TimeOf(work), goal) << goal;
      }
    }
    EXPECT_EQ(time.ChunkWithin(10, Decodes(most_sequences, 300), 0, 5000), 64);
    StepWork chunk = Decodes(most_sequences, 300);
    chunk.Add(0, 16, false);
    time.Learn(chunk, TimeOf(chunk));
    EXPECT_TRUE(time.TellsTokensApart());
    chunk = Decodes(most_sequences, 300);
    chunk.Add(16, time.ChunkWithin(0.5, chunk, 16, 5000), false);
    EXPECT_GT(chunk.tokens_without_logits(), 64);
    EXPECT_LE(TimeOf(chunk), 1.1 * 0.5);
  }
}

}  // namespace
}  // namespace quire

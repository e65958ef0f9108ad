#include "quire/sim/replay.h"

#include <gtest/gtest.h>

#include "quire/engine/hash_model.h"

namespace quire {
namespace {

class ReplayTest : public testing::Test {
 protected:
  ReplayResult Run(const Workload& workload, ReplayOptions options = {}, int64_t max_queue = 1000) {
    engine_ = Engine::Create(model_, nullptr, model_.MakeCache(512), pool_, {.max_queue = max_queue}).value();
    engine_->Start();
    ReplayResult result = Replay(*engine_, workload, options);
    engine_->Drain();
    EXPECT_EQ(engine_->kv_usage().used, 0);
    return result;
  }
  Workload Make(int requests, WorkloadOptions options) {
    std::vector<TraceRequest> trace;
    for (int i = 0; i < requests; ++i) trace.push_back({i * 0.01, 600, 8, {i % 3, i}});
    options.context = 2000;
    options.vocab = 61;
    return MakeWorkload(trace, options);
  }

  ThreadPool pool_{1};
  HashModel model_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(ReplayTest, AnswersEverybodyWhenTheyCome) {
  const ReplayResult result = Run(Make(12, {.length_scale = 0.1}));
  ASSERT_EQ(result.turns.size(), 12u);
  for (const TurnRecord& turn : result.turns) {
    EXPECT_EQ(turn.end, TurnEnd::kDone) << turn.failure;
    EXPECT_EQ(turn.prompt_tokens, 60);
    EXPECT_EQ(turn.output_tokens, 1);
    EXPECT_LE(turn.asked_s, turn.first_s);
    EXPECT_LE(turn.last_s, result.seconds);
  }
  EXPECT_GE(result.seconds, 0.11) << "the last comes after 0.11 s";
  const ReplaySummary summary = Summarise(result);
  EXPECT_EQ(summary.done, 12);
  EXPECT_EQ(summary.shared_tokens, 9 * 51) << "three beginnings, each new once";
  EXPECT_LE(summary.cached_tokens, summary.shared_tokens);
  EXPECT_GE(summary.cached_tokens, 9 * 48) << "full pages are shared also while they are computed";
}

TEST_F(ReplayTest, HoldsConversations) {
  std::vector<int64_t> progress;
  const Workload workload = Make(5, {.length_scale = 0.5, .turns = 3});
  const ReplayResult result =
      Run(workload, {.users = 2, .progress = [&](int64_t done, int64_t) { progress.push_back(done); }});
  ASSERT_EQ(result.turns.size(), 15u);
  EXPECT_EQ(progress.back(), 15);
  int running = 0, most = 0;
  std::vector<std::pair<double, int>> moments;
  for (const TurnRecord& turn : result.turns) {
    EXPECT_EQ(turn.end, TurnEnd::kDone) << turn.failure;
    EXPECT_EQ(turn.output_tokens, 4);
    EXPECT_EQ(std::ssize(turn.gaps_s), 3);
    EXPECT_EQ(turn.prompt_tokens % 304, 300) << "what was answered belongs to the next prompt";
    if (turn.prompt_tokens > 300) {
      EXPECT_EQ(turn.shared_tokens, turn.prompt_tokens - 301);
      EXPECT_GE(turn.cached_tokens, turn.shared_tokens);
    }
    moments.emplace_back(turn.asked_s, 1);
    moments.emplace_back(turn.last_s, -1);
  }
  std::ranges::sort(moments);
  for (const auto& [when, change] : moments) most = std::max(most, running += change);
  EXPECT_EQ(most, 2);
}

TEST_F(ReplayTest, ClientsLeaveAndOthersAreRefused) {
  Workload workload = Make(4, {.turns = 2});
  workload.conversations[1].leaves = true;
  // Long enough that they are not over before the client was heard.
  for (Turn& turn : workload.conversations[1].turns) turn.output_tokens = 1000;
  workload.conversations[2].turns[0].output_tokens = 1'000'000;  // never fits
  const ReplaySummary summary = Summarise(Run(workload));
  EXPECT_EQ(summary.left, 2);
  EXPECT_EQ(summary.failed, 1) << "and its second turn is never asked";
  EXPECT_EQ(summary.done, 4);
}

TEST(Quantiles, OfValues) {
  std::vector<double> values;
  for (int i = 100; i >= 0; --i) values.push_back(i);
  const Quantiles q = QuantilesOf(values);
  EXPECT_EQ(q.mean, 50);
  EXPECT_EQ(q.p50, 50);
  EXPECT_EQ(q.p90, 90);
  EXPECT_EQ(q.p99, 99);
  EXPECT_EQ(q.max, 100);
  EXPECT_EQ(QuantilesOf({}).max, 0);
}

}  // namespace
}  // namespace quire

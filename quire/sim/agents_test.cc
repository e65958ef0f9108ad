// Agents that pause in tool calls, in simulated time: pins and the order of sessions must pay.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "quire/engine/hash_model.h"
#include "quire/sim/replay.h"
#include "quire/sim/timed_model.h"

namespace quire {
namespace {

TEST(ParseStepPrices, TellsWhatIsWrong) {
  const StepPrices prices = ParseStepPrices("2000,500,0,0.5").value();
  EXPECT_EQ(prices.token_us, 500);
  EXPECT_EQ(prices.attended_us, 0.5);
  for (const char* wrong : {"", "1,2,3", "1,2,3,4,5", "a,1,1,1", "-1,1,1,1", "0,0,1,1", "nan,1,1,1"}) {
    EXPECT_FALSE(ParseStepPrices(wrong).has_value()) << wrong;
  }
}

// Each of a prompt, and five turns after calls of a tool with a log-normal delay.
std::vector<TraceRequest> Agents(int count, double gap_s) {
  std::mt19937 random(5);
  std::vector<TraceRequest> trace;
  for (int i = 0; i < count; ++i) {
    TraceRequest agent{.arrival_s = gap_s * i,
                       .prompt_tokens = 500 + static_cast<int64_t>(random() % 500),
                       .output_tokens = 30 + static_cast<int64_t>(random() % 30),
                       .hash_ids = {},
                       .turns = {}};
    for (int turn = 0; turn < 5; ++turn) {
      double normal = -6;
      for (int k = 0; k < 12; ++k) normal += static_cast<double>(random() % 1000) / 1000;
      agent.turns.push_back({.pause_s = std::exp(0.5 * normal),
                             .tool = random() % 2 ? "search" : "run",
                             .prompt_tokens = 60 + static_cast<int64_t>(random() % 100),
                             .output_tokens = agent.output_tokens});
    }
    trace.push_back(agent);
  }
  return trace;
}

struct Outcome {
  ReplaySummary summary;
  double pins_yielded = 0;
};

Outcome Serve(const std::vector<TraceRequest>& trace, int64_t pages, const char* scheduling,
              const char* retention) {
  ManualClock clock;
  HashModel like({.vocab_size = 61});
  TimedModel model(like, ParseStepPrices("2000,700,500,0.05").value(), clock);
  ThreadPool pool(1);
  auto engine = Engine::Create(model, nullptr, like.MakeCache(pages), pool,
                               {.scheduling = scheduling, .retention = retention}, clock)
                    .value();
  const Workload workload = MakeWorkload(trace, {.context = 4000, .vocab = 61});
  const ReplayResult result = Replay(*engine, workload, {.clock = &clock});
  EXPECT_EQ(engine->kv_usage().used, 0);
  return {Summarise(result), engine->metrics().pins_yielded.value()};
}

// All that the agents ever hold, in pages.
int64_t PagesOf(const std::vector<TraceRequest>& trace) {
  int64_t pages = 0;
  for (const TraceRequest& agent : trace) {
    int64_t tokens = agent.prompt_tokens + agent.output_tokens;
    for (const TraceTurn& turn : agent.turns) tokens += turn.prompt_tokens + turn.output_tokens;
    pages += tokens / 16 + 1;
  }
  return pages;
}

TEST(Agents, PinsAndTheOrderOfSessionsPay) {
  const auto trace = Agents(24, 0.5);
  const int64_t need = PagesOf(trace);
  const Outcome lru = Serve(trace, need * 3 / 10, "fcfs", "none");
  const Outcome pinned = Serve(trace, need * 3 / 10, "program", "learned");
  const Outcome unlimited = Serve(trace, 2 * need, "program", "none");
  for (const Outcome* outcome : {&lru, &pinned, &unlimited}) EXPECT_EQ(outcome->summary.done, 24 * 6);
  const double mean = pinned.summary.job_s.mean;
  EXPECT_LE(mean, 0.8 * lru.summary.job_s.mean);
  EXPECT_LE(mean, 1.2 * unlimited.summary.job_s.mean);
  EXPECT_GT(pinned.summary.cached_tokens, 3 * lru.summary.cached_tokens);
}

// The memory of three agents, pinned for a day: who runs takes what it needs, and everybody ends.
TEST(Agents, NobodyWaitsForPinsThatNobodyUses) {
  const auto trace = Agents(12, 0.1);
  const Outcome outcome = Serve(trace, PagesOf(trace) / 4, "program", "fixed:ttl_s=86400");
  EXPECT_EQ(outcome.summary.done, 12 * 6);
  EXPECT_GT(outcome.pins_yielded, 0);
}

}  // namespace
}  // namespace quire

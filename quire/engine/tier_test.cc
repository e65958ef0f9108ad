// An engine over a tier: what it brings back is what would have been computed, and every byte is told.
#include <gtest/gtest.h>

#include "quire/engine/engine.h"
#include "quire/engine/hash_model.h"
#include "quire/engine/request_testing.h"
#include "quire/tiers/tier_testing.h"

namespace quire {
namespace {

class EngineTier : public testing::Test {
 protected:
  // A new process over the same disk.
  void Start(int64_t pages, EngineOptions options = {}) {
    engine_ = Engine::Create(model_, nullptr, model_.MakeCache(pages), pool_, options, clock_,
                             std::make_unique<MapTier>(disk_))
                  .value();
    computed_ = 0;
    model_.on_forward = [this](const StepPlan& plan, const PageArena&) { computed_ += plan.tokens(); };
  }
  std::shared_ptr<CollectingSink> Submit(const Request& request) {
    auto sink = std::make_shared<CollectingSink>();
    EXPECT_TRUE(engine_->Submit(request, sink).has_value());
    return sink;
  }
  std::shared_ptr<CollectingSink> Run(const Request& request) {
    auto sink = Submit(request);
    for (int step = 0; step < 1000 && !sink->finished(); ++step) engine_->Step();
    EXPECT_EQ(sink->at(0).tokens, ExpectedTokens(model_, request, 0, *request.sampling.max_tokens));
    for (int step = 0; step < 50; ++step) engine_->Step();
    return sink;
  }
  MemoryReport Memory() {
    MemoryReport report;
    EXPECT_TRUE(engine_->AskMemory([&](const MemoryReport& answer) { report = answer; }));
    engine_->Step();
    return report;
  }

  ThreadPool pool_{1};
  ManualClock clock_;
  MapTierState disk_;
  HashModel model_;
  std::unique_ptr<Engine> engine_;
  int64_t computed_ = 0;  // tokens
};

TEST_F(EngineTier, YesterdaysConversationGoesOn) {
  Start(32);
  const Request first = Greedy(150, 20);
  const auto answer = Run(first);
  Start(32);
  Request second = first;
  second.prompt.insert(second.prompt.end(), answer->at(0).tokens.begin(), answer->at(0).tokens.end());
  const auto sink = Run(second);
  EXPECT_EQ(sink->at(0).last->cached_tokens, 160);  // the full pages of 169 tokens
  EXPECT_EQ(computed_, 10 + 19);
}

TEST_F(EngineTier, OtherSaltsAndPromptLogprobsGetNothing) {
  Start(32);
  Request request = Greedy(150, 5);
  Run(request);
  Start(32);
  request.cache_salt = "other";
  EXPECT_EQ(Run(request)->at(0).last->cached_tokens, 0);
  request.cache_salt = "";
  request.sampling.prompt_logprobs = 0;
  EXPECT_EQ(Run(request)->at(0).last->cached_tokens, 0);
}

TEST_F(EngineTier, OthersRunWhileARestoreIsUnderWay) {
  Start(32);
  const Request slow = Greedy(150, 5, 1), quick = Greedy(40, 5, 2);
  Run(slow);
  Start(32);
  disk_.holds_moves = true;
  const auto waits = Submit(slow), runs = Submit(quick);
  for (int step = 0; step < 20; ++step) engine_->Step();
  EXPECT_TRUE(runs->finished());
  EXPECT_TRUE(waits->samples.empty());
  const MemoryReport memory = Memory();
  EXPECT_EQ(memory.tier->restoring_bytes, 9 * memory.page_bytes);
  EXPECT_EQ(memory.kv.used, 9 * memory.page_bytes);
  EXPECT_GT(memory.tier->places.at(0).bytes, 0);
  disk_.holds_moves = false;
  for (int step = 0; step < 20; ++step) engine_->Step();
  EXPECT_TRUE(waits->finished());
  EXPECT_EQ(waits->at(0).last->cached_tokens, 144);
  EXPECT_EQ(engine_->metrics().disk_tier.read.value(), 9);
}

TEST_F(EngineTier, WhoIsCancelledWhileItWaitsHoldsNothing) {
  Start(32);
  Run(Greedy(150, 5));
  Start(32);
  disk_.holds_moves = true;
  auto sink = std::make_shared<CollectingSink>();
  const RequestId id = engine_->Submit(Greedy(150, 5), sink).value();
  engine_->Step();
  EXPECT_GT(engine_->kv_usage().used, 0);
  engine_->Cancel(id);
  engine_->Step();
  EXPECT_EQ(engine_->kv_usage().used, 0);
  EXPECT_EQ(sink->reason(), FinishReason::kCancelled);
  disk_.holds_moves = false;
  Run(Greedy(150, 5));
}

// Steps take their time on the engine's clock, and reading is so fast.
class EngineRestores : public EngineTier {
 protected:
  void StartWithReadsOf(double seconds_per_page) {
    disk_.read_time = {};
    const auto page_bytes = static_cast<int64_t>(model_.kv_layout().page_bytes());
    for (int pages = 0; pages < 40; ++pages) {
      disk_.read_time.Learn(pages * page_bytes, pages * seconds_per_page);
    }
    Start(32, {.max_step_tokens = 64});
    const auto count = std::move(model_.on_forward);
    model_.on_forward = [this, count](const StepPlan& plan, const PageArena& kv) {
      count(plan, kv);
      clock_.Advance(std::chrono::milliseconds(1 + plan.tokens()));
    };
  }
};

TEST_F(EngineRestores, WhatIsFasterToComputeIsComputed) {
  const Request request = Greedy(150, 5);
  for (const double page_s : {1e-4, 1.0}) {  // a page takes 16 ms to compute
    disk_ = {};
    StartWithReadsOf(page_s);
    Run(request);
    StartWithReadsOf(page_s);
    Run(Greedy(170, 5, 8));  // the engine learns what steps take
    computed_ = 0;
    const auto sink = Run(request);  // and checks its ids
    EXPECT_EQ(disk_.reads, page_s < 0.01 ? 9 : 0);
    EXPECT_EQ(computed_, page_s < 0.01 ? 6 + 4 : 150 + 4);
    EXPECT_EQ(sink->at(0).last->cached_tokens, page_s < 0.01 ? 144 : 0);
  }
}

TEST_F(EngineRestores, ANewProcessReadsUntilItKnowsBetter) {
  StartWithReadsOf(1.0);
  const Request request = Greedy(150, 5);
  Run(request);
  StartWithReadsOf(1.0);
  Run(request);
  EXPECT_EQ(disk_.reads, 9);
}

// Two that do not fit together take turns: who lost its pages gets them back from the tier, whether pages go
// there as they are computed or as they leave the pool. None goes there twice.
TEST_F(EngineTier, PreemptedSequencesAreSwappedIn) {
  for (const Moment moment : {Moment::kPublished, Moment::kEvicted}) {
    disk_ = {.moment = moment};
    Start(20, {.max_step_tokens = 64, .scheduling = "mlfq:quantum=8,age_s=1000"});
    const Request a = Greedy(150, 60, 1), b = Greedy(140, 60, 2);
    const auto of_a = Submit(a), of_b = Submit(b);
    for (int step = 0; step < 2000 && !(of_a->finished() && of_b->finished()); ++step) engine_->Step();
    EXPECT_EQ(of_a->at(0).tokens, ExpectedTokens(model_, a, 0, 60));
    EXPECT_EQ(of_b->at(0).tokens, ExpectedTokens(model_, b, 0, 60));
    EXPECT_GT(engine_->metrics().preemptions.value(), 0);
    EXPECT_GT(disk_.reads, 0);
    // Nobody's prompt is computed twice: only the last, partly filled pages are.
    const double again = 16 * (engine_->metrics().preemptions.value() + 1);
    EXPECT_LE(static_cast<double>(computed_), 150 + 140 + 2 * 59 + again);
    EXPECT_EQ(disk_.writes, std::ssize(disk_.pages));
  }
}

}  // namespace
}  // namespace quire

// What the engine computes, and what it finds computed, on HashModel step by step: every id is checked
// against a run without pages, every saving is counted in tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "quire/engine/engine.h"
#include "quire/engine/hash_model.h"
#include "quire/engine/request_testing.h"

namespace quire {
namespace {

// `shared` tokens that all have in common, then `own` of its own.
Request Sharer(int shared, int own, int max_tokens, int salt) {
  Request request = Greedy(shared, max_tokens);
  request.prompt.push_back((shared * 7 + 4 + salt) % 61);  // differs from what would follow
  const std::vector<Token> tail = TestPrompt(own - 1, salt + 1);
  request.prompt.insert(request.prompt.end(), tail.begin(), tail.end());
  return request;
}

// The next turn: what was said, and three tokens more.
Request NextTurn(Request request, const CollectingSink& sink) {
  const std::vector<Token>& answer = sink.at(0).tokens;
  request.prompt.insert(request.prompt.end(), answer.begin(), answer.end());
  request.prompt.insert(request.prompt.end(), {1, 2, 3});
  return request;
}

class PrefixSharing : public testing::Test {
 protected:
  void Make(int64_t pages, EngineOptions options = {}, HashModelOptions model = {}) {
    model_ = std::make_unique<HashModel>(model);
    model_->on_forward = [this](const StepPlan& plan, const PageArena&) { computed_ += plan.tokens(); };
    engine_ = Engine::Create(*model_, nullptr, model_->MakeCache(pages), pool_, options, clock_).value();
    computed_ = 0;
  }
  std::shared_ptr<CollectingSink> Submit(const Request& request) {
    auto sink = std::make_shared<CollectingSink>();
    const auto result = engine_->Submit(request, sink);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return sink;
  }
  void Steps() {
    for (int steps = 0; engine_->Step(); ++steps) ASSERT_LT(steps, 100000) << "it does not come to an end";
  }
  std::shared_ptr<CollectingSink> Run(const Request& request) {
    auto sink = Submit(request);
    Steps();
    ExpectRight(request, *sink);
    return sink;
  }
  void ExpectRight(const Request& request, const CollectingSink& sink) {
    for (int i = 0; i < request.sampling.n; ++i) {
      EXPECT_EQ(sink.at(i).tokens, ExpectedTokens(*model_, request, i, *request.sampling.max_tokens));
    }
  }
  static int64_t Cached(const CollectingSink& sink) { return sink.at(0).last->cached_tokens; }
  int64_t Pages(int64_t bytes) const {
    return bytes / static_cast<int64_t>(model_->kv_layout().page_bytes());
  }

  ThreadPool pool_{1};
  ManualClock clock_;
  std::unique_ptr<HashModel> model_;
  std::unique_ptr<Engine> engine_;
  int64_t computed_ = 0;  // tokens
};

TEST_F(PrefixSharing, ASecondTurnGoesOnFromTheFirst) {
  Make(32);
  const Request turn = Greedy(37, 10);
  const auto first = Run(turn);
  EXPECT_EQ(Cached(*first), 0);
  EXPECT_EQ(computed_, 37 + 9);
  const auto second = Run(NextTurn(turn, *first));
  EXPECT_EQ(Cached(*second), 46);  // all that was computed: the last token sampled was not
  EXPECT_EQ(computed_, 46 + 4 + 9);
  EngineMetrics& metrics = engine_->metrics();
  EXPECT_EQ(metrics.prompt_tokens.value(), 37 + 50);
  EXPECT_EQ(metrics.prompt_tokens_cached.value(), 46);
  EXPECT_EQ(metrics.prompt_tokens_computed.value(), 37 + 4);
  EXPECT_EQ(metrics.prefix_cache_hits.value(), 46);
  EXPECT_EQ(metrics.prefix_cache_queries.value(), 37 + 50);
}

TEST_F(PrefixSharing, AnEqualPromptComputesOneToken) {
  Make(32);
  Run(Greedy(48, 4));
  computed_ = 0;
  EXPECT_EQ(Cached(*Run(Greedy(48, 4))), 47);
  EXPECT_EQ(computed_, 4);
}

// However large the step: whoever shares most of its prompt with one that is computed right now waits for it.
TEST_F(PrefixSharing, SharersThatArriveTogetherComputeTheSharedPartOnce) {
  for (const int64_t step_tokens : {24, 64, 4096}) {
    SCOPED_TRACE(step_tokens);
    Make(128, {.max_step_tokens = step_tokens});
    std::vector<Request> requests;
    std::vector<std::shared_ptr<CollectingSink>> sinks;
    for (int i = 0; i < 8; ++i) sinks.push_back(Submit(requests.emplace_back(Sharer(160, 20, 5, i))));
    int64_t peak = 0;
    while (engine_->Step()) peak = std::max(peak, Pages(engine_->kv_usage().used));
    for (int i = 0; i < 8; ++i) {
      ExpectRight(requests[i], *sinks[i]);
      EXPECT_EQ(Cached(*sinks[i]), i == 0 ? 0 : 160);
    }
    EXPECT_EQ(computed_, 160 + 8 * (20 + 4));
    EXPECT_LE(peak, 10 + 8 * 2);  // ten shared pages, and two for the 24 tokens that each has for itself
  }
}

TEST_F(PrefixSharing, WhoSharesLittleDoesNotWait) {
  Make(128, {.max_step_tokens = 4096});
  const auto a = Submit(Sharer(32, 100, 2, 1)), b = Submit(Sharer(32, 100, 2, 2));
  engine_->Step();
  EXPECT_EQ(computed_, 264);
  Steps();
  ExpectRight(Sharer(32, 100, 2, 1), *a);
  ExpectRight(Sharer(32, 100, 2, 2), *b);
}

// Two compute the same page in one step: from then on there is one copy.
TEST_F(PrefixSharing, TwiceComputedIsOnceKept) {
  Make(128, {.max_step_tokens = 4096});
  Submit(Sharer(32, 100, 2, 1));
  Submit(Sharer(32, 100, 2, 2));
  engine_->Step();
  EXPECT_EQ(Pages(engine_->kv_usage().used), 2 + 2 * 7);
  Steps();
}

TEST_F(PrefixSharing, OtherSaltsShareNothing) {
  Make(64, {.max_step_tokens = 4096});
  Request request = Greedy(64, 3);
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (const char* salt : {"", "a", "b", "ab"}) {
    request.cache_salt = salt;
    sinks.push_back(Submit(request));
  }
  engine_->Step();
  EXPECT_EQ(computed_, 4 * 64) << "the length of the step gives away that equal tokens are known";
  Steps();
  for (const auto& sink : sinks) EXPECT_EQ(Cached(*sink), 0);
  EXPECT_EQ(Cached(*Run(request)), 63);
}

TEST_F(PrefixSharing, OffMeansOff) {
  Make(64, {.prefix_caching = false});
  Run(Greedy(64, 3));
  EXPECT_EQ(engine_->kv_usage().free, engine_->kv_usage().total);
  EXPECT_EQ(Cached(*Run(Greedy(64, 3))), 0);
  EXPECT_EQ(computed_, 2 * 66);
  EXPECT_EQ(engine_->metrics().prefix_cache_queries.value(), 0);
}

TEST_F(PrefixSharing, PromptLogprobsComputeEverything) {
  Make(32);
  Run(Greedy(50, 2));
  computed_ = 0;
  Request request = Greedy(50, 2);
  request.sampling.prompt_logprobs = 1;
  const auto sink = Run(request);
  EXPECT_EQ(computed_, 51);
  EXPECT_EQ(Cached(*sink), 0);
  EXPECT_EQ(sink->prompt_logprobs->size(), 50u);
  EXPECT_EQ(Pages(engine_->kv_usage().cached), 4);  // one copy
}

TEST_F(PrefixSharing, CachedPagesGiveWay) {
  Make(8);
  for (int i = 0; i < 20; ++i) {
    Run(Greedy(40 + i, 8, i));
    EXPECT_EQ(engine_->kv_usage().used, 0);
    EXPECT_GE(Pages(engine_->kv_usage().cached), 3);
  }
  EXPECT_EQ(engine_->metrics().preemptions.value(), 0);
  EXPECT_EQ(Cached(*Run(Greedy(59, 8, 19))), 58);
}

// Going on from a hit that is the whole pool would need one page more than there is: the page that is written
// leaves the cache instead of being copied.
TEST_F(PrefixSharing, AHitMayFillThePool) {
  for (const std::vector<int64_t>& windows : {std::vector<int64_t>{0}, {0, 128}, {40}}) {
    const auto groups = std::ssize(windows);
    Make(8 * groups, {}, {.context = 128, .windows = windows});
    Run(Greedy(120, 8));
    EXPECT_EQ(Cached(*Run(Greedy(120, 8))), 119);
    EXPECT_EQ(engine_->metrics().preemptions.value(), 0);
  }
}

TEST_F(PrefixSharing, APreemptedSequenceGoesOnFromWhatIsStillThere) {
  Make(8);
  const Request older = Greedy(30, 60, 1), younger = Greedy(30, 60, 2);
  const auto a = Submit(older), b = Submit(younger);
  Steps();
  ExpectRight(older, *a);
  ExpectRight(younger, *b);
  EXPECT_GE(engine_->metrics().preemptions.value(), 1);
  EXPECT_EQ(Cached(*b), 0) << "what it computed itself is no saving";
  EXPECT_LT(computed_, 2 * 89 + 64) << "it began anew";
}

TEST_F(PrefixSharing, WhatAFailedRequestComputedIsNotShared) {
  Make(32);
  bool broken = true;
  model_->edit_logits = [&](std::span<const Token>, std::span<float> logits) {
    if (broken) logits[3] = std::numeric_limits<float>::quiet_NaN();
  };
  const auto bad = Submit(Greedy(40, 4));
  Steps();
  EXPECT_EQ(bad->reason(), FinishReason::kError);
  EXPECT_EQ(engine_->kv_usage().cached, 0);
  broken = false;
  EXPECT_EQ(Cached(*Run(Greedy(40, 4))), 0);
}

TEST_F(PrefixSharing, SlidingWindowsKeepTheirHits) {
  Make(200, {.max_step_tokens = 64}, {.windows = {0, 24, 24}});
  const Request turn = Greedy(150, 40);
  const auto first = Run(turn);
  EXPECT_EQ(Cached(*Run(NextTurn(turn, *first))), 189);
  // A point that nobody knew of before; no page was short.
  EXPECT_EQ(Cached(*Run(Sharer(100, 30, 8, 7))), 100);
}

// With little room the way is given up first, and the points where turns end stay.
TEST_F(PrefixSharing, SlidingWindowsKeepWhereTurnsEnd) {
  Make(60, {.max_step_tokens = 16}, {.windows = {0, 24, 24, 24}});
  const Request turn = Greedy(150, 40);
  const auto first = Run(turn);  // 12 full pages; with all of its windows it would take 48
  Run(Greedy(100, 16, 9));       // needs 8 + 9 at a time
  EXPECT_EQ(Cached(*Run(NextTurn(turn, *first))), 189);
}

}  // namespace
}  // namespace quire

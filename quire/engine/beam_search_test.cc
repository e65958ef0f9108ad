// Beam search against a plain one that keeps whole texts and asks the model for each of them anew.
#include "quire/engine/beam_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "quire/engine/hash_model.h"
#include "quire/engine/request_testing.h"

namespace quire {
namespace {

std::vector<double> LogSoftmax(const std::vector<float>& logits) {
  double sum = 0;
  const double most = *std::ranges::max_element(logits);
  for (const float logit : logits) sum += std::exp(logit - most);
  std::vector<double> result;
  for (const float logit : logits) result.push_back(logit - most - std::log(sum));
  return result;
}

struct Hypothesis {
  std::vector<Token> tokens;
  double sum = 0;
  double score = 0;
};

// All continuations of at most `length` tokens that end with `stop` or are as long as that, best first: the
// search over everything, for few tokens.
void Enumerate(const HashModel& model, const std::vector<Token>& prompt, Hypothesis& path, int length,
               Token stop, double penalty, std::vector<Hypothesis>& all) {
  const bool ends = !path.tokens.empty() && (path.tokens.back() == stop || std::ssize(path.tokens) == length);
  if (ends) {
    path.score = path.sum / std::pow(static_cast<double>(path.tokens.size()), penalty);
    all.push_back(path);
    return;
  }
  std::vector<Token> text = prompt;
  text.insert(text.end(), path.tokens.begin(), path.tokens.end());
  const std::vector<double> logprobs = LogSoftmax(model.LogitsAfter(text));
  for (Token token = 0; token < std::ssize(logprobs); ++token) {
    Hypothesis next = path;
    next.tokens.push_back(token);
    next.sum += logprobs[token];
    Enumerate(model, prompt, next, length, stop, penalty, all);
  }
}

class BeamSearchTest : public testing::Test {
 protected:
  void Make(int64_t pages, HashModelOptions model = {}, EngineOptions options = {}) {
    model_ = std::make_unique<HashModel>(model);
    model_->on_forward = [this](const StepPlan& plan, const PageArena&) { computed_ += plan.tokens(); };
    engine_ = Engine::Create(*model_, nullptr, model_->MakeCache(pages), pool_, options, clock_).value();
    computed_ = 0;
  }
  std::shared_ptr<CollectingSink> Run(const Request& request, const BeamParams& params) {
    auto sink = std::make_shared<CollectingSink>();
    const auto search = BeamSearch::Start(*engine_, nullptr, request, params, sink);
    EXPECT_TRUE(search.has_value()) << search.error().message;
    for (int steps = 0; engine_->Step(); ++steps) {
      peak_ = std::max(peak_, engine_->kv_usage().used);
      EXPECT_LT(steps, 100000);
    }
    EXPECT_TRUE(sink->finished(params.best));
    EXPECT_EQ(engine_->kv_usage().used, 0);
    return sink;
  }

  ThreadPool pool_{1};
  ManualClock clock_;
  std::unique_ptr<HashModel> model_;
  std::unique_ptr<Engine> engine_;
  int64_t computed_ = 0;  // tokens
  int64_t peak_ = 0;      // bytes of pages in use
};

// With as many beams as there are texts nothing is pruned, so the search finds the best of all.
TEST_F(BeamSearchTest, FindsTheBestOfAllWhereItFollowsAll) {
  for (const double penalty : {0.0, 1.0, 2.0, -1.0}) {
    Make(64, {.vocab_size = 3});
    Request request = Greedy(10, 3);
    std::ranges::transform(request.prompt, request.prompt.begin(), [](Token t) { return t % 3; });
    request.sampling.stop_token_ids = {2};
    const auto sink = Run(request, {.width = 10, .best = 4, .length_penalty = penalty});
    std::vector<Hypothesis> all;
    Hypothesis none;
    Enumerate(*model_, request.prompt, none, 3, 2, penalty, all);
    std::ranges::stable_sort(all, std::greater(), &Hypothesis::score);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(sink->at(i).tokens, all[i].tokens) << "penalty " << penalty << " place " << i;
      EXPECT_EQ(sink->reason(i), all[i].tokens.back() == 2 ? FinishReason::kStop : FinishReason::kLength);
    }
  }
}

TEST_F(BeamSearchTest, OneBeamIsGreedy) {
  Make(64);
  const Request request = Greedy(40, 12);
  EXPECT_EQ(Run(request, {})->at(0).tokens, ExpectedTokens(*model_, request, 0, 12));
}

TEST_F(BeamSearchTest, BeamsComputeAndHoldOnceWhatTheyShare) {
  Make(64);
  const auto sink = Run(Greedy(160, 20), {.width = 4, .best = 4});
  EXPECT_EQ(computed_, 160 + 19 * 4);
  const auto page = static_cast<int64_t>(model_->kv_layout().page_bytes());
  EXPECT_LE(peak_ / page, 10 + 4 * 2);
  for (int i = 0; i + 1 < 4; ++i) EXPECT_NE(sink->at(i).tokens, sink->at(i + 1).tokens);
}

TEST_F(BeamSearchTest, TinyPoolsGiveTheSameBeams) {
  Make(256);
  Request request = Greedy(60, 24);
  request.sampling.logprobs = 2;
  const auto wide = Run(request, {.width = 5, .best = 5});
  Make(8, {}, {.max_step_tokens = 24, .max_sequences = 3});
  const auto narrow = Run(request, {.width = 5, .best = 5});
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(wide->at(i).tokens, narrow->at(i).tokens);
    EXPECT_EQ(wide->at(i).logprobs.size(), 24);
    EXPECT_EQ(wide->at(i).logprobs[0].top.size(), 2);
  }
}

TEST_F(BeamSearchTest, MinTokensHoldTheStopBack) {
  Make(64, {.vocab_size = 5});
  Request request = Greedy(10, 8);
  std::ranges::transform(request.prompt, request.prompt.begin(), [](Token t) { return t % 5; });
  request.sampling.stop_token_ids = {0, 1, 2};
  request.sampling.min_tokens = 4;
  const auto sink = Run(request, {.width = 4, .best = 4});
  for (int i = 0; i < 4; ++i) EXPECT_GT(sink->at(i).tokens.size(), 4);
}

TEST_F(BeamSearchTest, EarlyStoppingEndsWithTheFirstComplete) {
  Make(64, {.vocab_size = 5});
  Request request = Greedy(10, 200);
  std::ranges::transform(request.prompt, request.prompt.begin(), [](Token t) { return t % 5; });
  request.sampling.stop_token_ids = {0, 1};
  Run(request, {.width = 3, .best = 1, .length_penalty = 2, .early_stopping = true});
  const int64_t early = computed_;
  computed_ = 0;
  Run(request, {.width = 3, .best = 1, .length_penalty = 2});
  EXPECT_LT(early, computed_);
}

TEST_F(BeamSearchTest, CancelledOnceAndForAll) {
  Make(64);
  auto sink = std::make_shared<CollectingSink>();
  const auto search = BeamSearch::Start(*engine_, nullptr, Greedy(40, 100), {.width = 4, .best = 2}, sink);
  for (int i = 0; i < 10; ++i) engine_->Step();
  EXPECT_TRUE(sink->samples.empty());
  (*search)->Cancel();
  while (engine_->Step()) {
  }
  EXPECT_EQ(sink->reason(0), FinishReason::kCancelled);
  EXPECT_EQ(sink->reason(1), FinishReason::kCancelled);
  EXPECT_EQ(engine_->kv_usage().used, 0);
}

TEST_F(BeamSearchTest, WhatDoesNotFitIsRefused) {
  Make(64, {.context = 128});
  const auto sink = std::make_shared<CollectingSink>();
  EXPECT_FALSE(BeamSearch::Start(*engine_, nullptr, Greedy(100, 29), {}, sink).has_value());
  EXPECT_FALSE(BeamSearch::Start(*engine_, nullptr, Greedy(128, 1), {}, sink).has_value());
  EXPECT_TRUE(BeamSearch::Start(*engine_, nullptr, Greedy(100, 28), {}, sink).has_value());
}

}  // namespace
}  // namespace quire

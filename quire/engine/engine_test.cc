// The engine on HashModel, step by step on the test's own thread.
#include "quire/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "quire/engine/hash_model.h"
#include "quire/engine/request_testing.h"

namespace quire {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;

Request Seeded(int prompt_tokens, int max_tokens, uint64_t seed) {
  Request request = Greedy(prompt_tokens, max_tokens, static_cast<int>(seed));
  request.sampling.temperature = 1;
  request.sampling.seed = seed;
  return request;
}

class EngineTest : public testing::Test {
 protected:
  void Make(int64_t pages, EngineOptions options = {}, HashModelOptions model = {}) {
    model_ = std::make_unique<HashModel>(model);
    engine_ = Engine::Create(*model_, nullptr, model_->MakeCache(pages), pool_, options, clock_).value();
  }
  std::shared_ptr<CollectingSink> Submit(const Request& request, RequestId* id = nullptr) {
    auto sink = std::make_shared<CollectingSink>();
    const auto result = engine_->Submit(request, sink);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    if (id != nullptr) *id = *result;
    return sink;
  }
  std::string Refusal(const Request& request) {
    const auto result = engine_->Submit(request, std::make_shared<CollectingSink>());
    EXPECT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
    return result.error().message;
  }
  int Run() {
    int steps = 0;
    while (engine_->Step()) {
      clock_.Advance(std::chrono::milliseconds(10));
      ++steps;
      EXPECT_LT(steps, 100000) << "the engine does not come to an end";
      if (steps >= 100000) break;
    }
    return steps;
  }
  void ExpectNoneUsed() { EXPECT_EQ(engine_->kv_usage().used, 0); }

  ThreadPool pool_{2};
  ManualClock clock_;
  std::unique_ptr<HashModel> model_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, GeneratesWhatTheModelSays) {
  Make(32);
  const Request greedy = Greedy(20, 30), seeded = Seeded(5, 12, 99);
  const auto a = Submit(greedy), b = Submit(seeded);
  Run();
  EXPECT_EQ(a->at(0).tokens, ExpectedTokens(*model_, greedy, 0, 30));
  EXPECT_EQ(b->at(0).tokens, ExpectedTokens(*model_, seeded, 0, 12));
  EXPECT_EQ(a->reason(), FinishReason::kLength);
  EXPECT_EQ(a->at(0).events, 30);
  EXPECT_EQ(a->at(0).last->prompt_tokens, 20);
  ExpectNoneUsed();
}

TEST_F(EngineTest, StepsAreAtMostTheBudgetAndDecodesGoFirst) {
  Make(64, {.max_step_tokens = 8});
  std::vector<int64_t> sizes;
  bool decode_behind_prompt = false;
  model_->on_forward = [&](const StepPlan& plan, const PageArena&) {
    sizes.push_back(plan.tokens());
    bool prompt_seen = false;
    for (const SequenceStep& s : plan.sequences) {
      decode_behind_prompt |= prompt_seen && s.tokens.size() == 1;
      prompt_seen |= s.tokens.size() > 1;
    }
  };
  const auto a = Submit(Greedy(4, 40));
  engine_->Step();
  const auto b = Submit(Greedy(30, 5, 1));
  Run();
  EXPECT_LE(*std::ranges::max_element(sizes), 8);
  EXPECT_FALSE(decode_behind_prompt);
  EXPECT_EQ(sizes[1], 8);            // one decode and seven prompt tokens
  EXPECT_EQ(std::ssize(sizes), 40);  // the long prompt cost the first request no step
  EXPECT_EQ(b->at(0).tokens, ExpectedTokens(*model_, Greedy(30, 5, 1), 0, 5));
}

TEST_F(EngineTest, StopTokensEndASample) {
  Make(32);
  Request request = Greedy(10, 50);
  const std::vector<Token> all = ExpectedTokens(*model_, request, 0, 50);
  request.sampling.stop_token_ids = {all[6]};
  const size_t end = std::ranges::find(all, all[6]) - all.begin() + 1;
  const auto sink = Submit(request);
  Run();
  EXPECT_THAT(sink->at(0).tokens, ElementsAreArray(all.begin(), all.begin() + static_cast<int64_t>(end)));
  EXPECT_EQ(sink->reason(), FinishReason::kStop);
  EXPECT_EQ(sink->at(0).last->stop_token, all[6]);
}

TEST_F(EngineTest, MinTokensMasksStopTokens) {
  Make(32);
  Request request = Greedy(10, 50);
  const std::vector<Token> all = ExpectedTokens(*model_, request, 0, 50);
  request.sampling.stop_token_ids = {all[0], all[1], all[2]};
  request.sampling.min_tokens = 12;
  const auto sink = Submit(request);
  Run();
  EXPECT_EQ(sink->at(0).tokens, ExpectedTokens(*model_, request, 0, 50));
  ASSERT_GE(sink->at(0).tokens.size(), 12u);
  for (int i = 0; i < 12; ++i) {
    EXPECT_THAT(request.sampling.stop_token_ids, testing::Not(testing::Contains(sink->at(0).tokens[i])));
  }
}

TEST_F(EngineTest, SamplesShareThePromptAndDrawForThemselves) {
  Make(32, {.max_step_tokens = 16});
  Request request = Seeded(37, 20, 5);
  request.sampling.n = 4;
  int64_t computed = 0, peak = 0;
  model_->on_forward = [&](const StepPlan& plan, const PageArena&) {
    computed += plan.tokens();
    peak = std::max(peak, engine_->kv_usage().used);
  };
  const auto sink = Submit(request);
  Run();
  ASSERT_TRUE(sink->finished(4));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(sink->at(i).tokens, ExpectedTokens(*model_, request, i, 20)) << i;
  EXPECT_NE(sink->at(0).tokens, sink->at(1).tokens);
  EXPECT_EQ(computed, 37 + 4 * 19);
  // Two full pages are shared; each sample has its own tail of 37 + 19 tokens.
  EXPECT_EQ(peak, static_cast<int64_t>((2 + 4 * 2) * model_->kv_layout().page_bytes()));
  ExpectNoneUsed();
}

TEST_F(EngineTest, WhenPagesRunOutTheYoungestIsPreemptedAndNobodyNotices) {
  Make(8);
  const Request old_one = Seeded(30, 60, 1), young = Seeded(30, 60, 2);
  const auto a = Submit(old_one), b = Submit(young);
  Run();
  EXPECT_EQ(a->at(0).tokens, ExpectedTokens(*model_, old_one, 0, 60));
  EXPECT_EQ(b->at(0).tokens, ExpectedTokens(*model_, young, 0, 60));
  EXPECT_GE(engine_->metrics().preemptions.value(), 1);
  ExpectNoneUsed();
}

TEST_F(EngineTest, PreemptedSamplesContinueWithTheSameTokens) {
  Make(8, {.max_step_tokens = 7});
  Request request = Seeded(20, 70, 3);
  request.sampling.n = 3;
  const auto sink = Submit(request);
  Run();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sink->at(i).tokens, ExpectedTokens(*model_, request, i, 70)) << i;
  EXPECT_GE(engine_->metrics().preemptions.value(), 1);
}

TEST_F(EngineTest, OneSequenceMayFillThePool) {
  Make(8, {}, {.context = 128});
  const auto sink = Submit(Greedy(100, 28));
  Run();
  EXPECT_EQ(sink->at(0).tokens.size(), 28u);
}

// Every token takes a millisecond, and a step 20 more.
TEST_F(EngineTest, PromptsLeaveTheTimeBetweenTokensThatIsAskedFor) {
  for (const int goal_ms : {0, 50, 100, 22}) {
    SCOPED_TRACE(goal_ms);
    Make(256, {.target_itl = std::chrono::milliseconds(goal_ms)}, {.context = 4096});
    std::vector<std::pair<int64_t, bool>> steps;  // tokens, and whether anybody decodes
    model_->on_forward = [&](const StepPlan& plan, const PageArena&) {
      clock_.Advance(std::chrono::milliseconds(20 + plan.tokens()));
      steps.emplace_back(plan.tokens(), plan.sequences.front().tokens.size() == 1);
    };
    Submit(Greedy(1000, 1, 3));  // what the engine learns from
    while (engine_->Step()) {
    }
    const auto decoding = Submit(Greedy(10, 200, 1));
    for (int i = 0; i < 20; ++i) engine_->Step();
    steps.clear();
    const auto late = Submit(Greedy(1500, 5, 2));
    while (engine_->Step()) {
    }
    int64_t longest = 0, with_prompt = 0;
    for (const auto& [tokens, decodes] : steps) {
      if (!decodes) continue;
      longest = std::max(longest, tokens);
      with_prompt += tokens > 2;
    }
    if (goal_ms == 0) {
      EXPECT_EQ(longest, engine_->options().max_step_tokens);
    } else if (goal_ms == 22) {
      EXPECT_EQ(longest, 1 + 16) << "a goal out of reach leaves prompts a little";
    } else {
      EXPECT_NEAR(static_cast<double>(longest), goal_ms - 20, 4);
      EXPECT_NEAR(static_cast<double>(with_prompt), 1500.0 / (goal_ms - 21), 4);
    }
    EXPECT_EQ(late->at(0).tokens, ExpectedTokens(*model_, Greedy(1500, 5, 2), 0, 5));
    EXPECT_EQ(decoding->at(0).tokens, ExpectedTokens(*model_, Greedy(10, 200, 1), 0, 200));
  }
}

TEST_F(EngineTest, SaysWhyARequestCanNeverFit) {
  Make(8, {.max_queue = 4}, {.context = 512});
  EXPECT_THAT(Refusal(Greedy(100, 29)), HasSubstr("100 tokens and max_tokens is 29, 129 in all"));
  EXPECT_THAT(Refusal(Greedy(100, 29)), HasSubstr("8.00 KiB holds only 128 tokens"));
  EXPECT_THAT(Refusal(Greedy(100, 29)),
              HasSubstr("ask for at most 28 tokens, or start with more --kv-memory"));
  Request open_end = Greedy(128, 1);
  open_end.sampling.max_tokens.reset();
  EXPECT_THAT(Refusal(open_end), HasSubstr("shorten the prompt"));
  EXPECT_EQ(engine_->metrics().rejected_too_long.value(), 4);

  Make(64, {.max_context = 64}, {.context = 512});
  EXPECT_THAT(Refusal(Greedy(60, 5)), HasSubstr("the context is 64 tokens; ask for at most 4 tokens"));
  open_end.prompt = TestPrompt(60);
  const auto sink = Submit(open_end);
  Run();
  EXPECT_EQ(sink->at(0).tokens.size(), 4u);
  EXPECT_EQ(sink->reason(), FinishReason::kLength);
}

TEST_F(EngineTest, NamesTheParameterThatIsOutOfRange) {
  Make(8);
  const auto refusal = [&](auto set) {
    Request request = Greedy(4, 4);
    set(request);
    return Refusal(request);
  };
  EXPECT_THAT(refusal([](Request& r) { r.prompt.clear(); }), HasSubstr("prompt is empty"));
  EXPECT_THAT(refusal([](Request& r) { r.prompt[2] = 61; }),
              HasSubstr("token id 61; the model's ids are 0 to 60"));
  EXPECT_THAT(refusal([](Request& r) { r.prompt[2] = -1; }), HasSubstr("token id -1"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.temperature = -0.1; }), HasSubstr("temperature is -0.1"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.temperature = std::nan(""); }), HasSubstr("temperature"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.top_p = 0; }), HasSubstr("top_p"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.top_p = 1.5; }), HasSubstr("top_p"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.typical_p = 0; }), HasSubstr("typical_p"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.min_p = -1; }), HasSubstr("min_p"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.top_k = -2; }), HasSubstr("top_k"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.repetition_penalty = 0; }),
              HasSubstr("repetition_penalty"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.presence_penalty = 3; }), HasSubstr("presence_penalty"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.frequency_penalty = -3; }), HasSubstr("frequency_penalty"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.logit_bias[77] = 1; }), HasSubstr("logit_bias"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.logit_bias[7] = 101; }), HasSubstr("logit_bias"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.stop_token_ids = {61}; }), HasSubstr("stop_token_ids"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.n = 0; }), HasSubstr("n is 0"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.n = 129; }), HasSubstr("between 1 and 128"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.max_tokens = -1; }), HasSubstr("max_tokens"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.min_tokens = 5; }), HasSubstr("min_tokens"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.logprobs = 21; }), HasSubstr("logprobs is 21"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.prompt_logprobs = -1; }), HasSubstr("prompt_logprobs"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.stop = {"x"}; }), HasSubstr("tokenizer"));
}

TEST_F(EngineTest, RefusesOptionsThatContradict) {
  HashModel model({.context = 64});
  const auto message = [&](EngineOptions options, int64_t pages = 8) {
    return Engine::Create(model, nullptr, model.MakeCache(pages), pool_, options).error().message;
  };
  EXPECT_THAT(message({.max_step_tokens = 0}), HasSubstr("max_step_tokens (0)"));
  EXPECT_THAT(message({.max_context = 65}), HasSubstr("max_context is 65"));
  EXPECT_THAT(message({.scheduling = "lifo"}), HasSubstr("fcfs, lottery, mlfq"));
}

TEST_F(EngineTest, AFullQueueRefuses) {
  Make(8, {.max_sequences = 1, .max_queue = 2});
  Submit(Greedy(4, 4));
  engine_->Step();  // the first runs and has left the queue
  Submit(Greedy(4, 4));
  RequestId third = 0;
  Submit(Greedy(4, 4), &third);
  const auto refused = engine_->Submit(Greedy(4, 4), std::make_shared<CollectingSink>());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(engine_->metrics().rejected_queue_full.value(), 1);
  engine_->Cancel(third);
  engine_->Step();
  Submit(Greedy(4, 4));  // its place is free again
  Run();
}

TEST_F(EngineTest, CancelFreesThePagesWithinAStep) {
  Make(16);
  RequestId id = 0;
  const auto sink = Submit(Greedy(40, 80), &id);
  for (int i = 0; i < 5; ++i) engine_->Step();
  EXPECT_GT(engine_->kv_usage().used, 0);
  engine_->Cancel(id);
  engine_->Cancel(id);
  engine_->Step();
  ExpectNoneUsed();
  EXPECT_EQ(sink->reason(), FinishReason::kCancelled);
  EXPECT_EQ(sink->at(0).tokens.size(), 5u);
  engine_->Cancel(id);  // long gone
  Run();
  EXPECT_EQ(engine_->metrics().finished_abort.value(), 1);
}

TEST_F(EngineTest, CancelEndsSamplesThatHaveNotForkedYet) {
  Make(16, {.max_step_tokens = 4});
  RequestId id = 0;
  Request request = Seeded(40, 10, 4);
  request.sampling.n = 3;
  const auto sink = Submit(request, &id);
  engine_->Step();
  engine_->Cancel(id);
  Run();
  ASSERT_TRUE(sink->finished(3));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sink->reason(i), FinishReason::kCancelled);
  ExpectNoneUsed();
}

TEST_F(EngineTest, AStepThatThrowsFailsItsRequestsOnly) {
  Make(32, {.max_step_tokens = 16, .max_sequences = 2});
  int forwards = 0;
  model_->on_forward = [&](const StepPlan&, const PageArena&) {
    if (++forwards == 3) throw std::runtime_error("the lamp went out");
  };
  Request samples = Seeded(4, 10, 1);
  samples.sampling.n = 2;
  const auto doomed = Submit(samples);
  const auto later = Submit(Greedy(6, 10));
  Run();
  ASSERT_TRUE(doomed->finished(2));
  EXPECT_EQ(doomed->reason(), FinishReason::kError);
  EXPECT_THAT(doomed->at(1).last->error->message, HasSubstr("the lamp went out"));
  EXPECT_EQ(doomed->at(0).tokens.size(), 2u);
  EXPECT_EQ(later->at(0).tokens, ExpectedTokens(*model_, Greedy(6, 10), 0, 10));
  ExpectNoneUsed();
}

TEST_F(EngineTest, LogitsThatAreNotNumbersFailTheirRequestOnly) {
  for (const bool greedy : {true, false}) {
    Make(32);
    const Request bad = greedy ? Greedy(6, 10, 1) : Seeded(6, 10, 1);
    model_->edit_logits = [&](std::span<const Token> prefix, std::span<float> logits) {
      if (prefix.size() == 9 && prefix[0] == bad.prompt[0])
        logits[17] = std::numeric_limits<float>::quiet_NaN();
    };
    const auto doomed = Submit(bad);
    const auto other = Submit(Greedy(6, 10, 2));
    Run();
    EXPECT_EQ(doomed->reason(), FinishReason::kError);
    EXPECT_EQ(doomed->at(0).tokens.size(), 3u);
    EXPECT_EQ(other->reason(), FinishReason::kLength);
    EXPECT_EQ(engine_->metrics().corrupted_requests.value(), 1);
    ExpectNoneUsed();
  }
}

TEST_F(EngineTest, ASinkThatThrowsLosesItsRequestOnly) {
  struct Thrower final : TokenSink {
    void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>>) override {}
    void OnOutput(OutputEvent) override { throw std::runtime_error("closed"); }
  };
  Make(32);
  ASSERT_TRUE(engine_->Submit(Greedy(4, 50), std::make_shared<Thrower>()).has_value());
  const auto other = Submit(Greedy(6, 10, 2));
  EXPECT_LT(Run(), 15);
  EXPECT_EQ(other->reason(), FinishReason::kLength);
  ExpectNoneUsed();
}

// log p(token | prefix), computed in the plain way.
double Logprob(const std::vector<float>& logits, Token token) {
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit));
  return logits[token] - std::log(sum);
}

TEST_F(EngineTest, LogprobsAreOfTheRawLogits) {
  Make(32);
  Request request = Seeded(10, 20, 8);
  request.sampling.temperature = 2;
  request.sampling.repetition_penalty = 1.3;
  request.sampling.logprobs = 5;
  const auto sink = Submit(request);
  Run();
  std::vector<Token> prefix = request.prompt;
  ASSERT_EQ(sink->at(0).logprobs.size(), 20u);
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> logits = model_->LogitsAfter(prefix);
    const PositionLogprobs& got = sink->at(0).logprobs[i];
    EXPECT_EQ(got.chosen.token, sink->at(0).tokens[i]);
    EXPECT_NEAR(got.chosen.logprob, Logprob(logits, got.chosen.token), 1e-5);
    ASSERT_EQ(got.top.size(), 5u);
    for (int k = 0; k < 5; ++k) {
      EXPECT_EQ(got.top[k].rank, k + 1);
      EXPECT_NEAR(got.top[k].logprob, Logprob(logits, got.top[k].token), 1e-5);
      EXPECT_LE(got.top[k].logprob, got.top[std::max(k - 1, 0)].logprob);
    }
    EXPECT_EQ(got.top[0].token, std::ranges::max_element(logits) - logits.begin());
    prefix.push_back(got.chosen.token);
  }
}

TEST_F(EngineTest, PromptLogprobsComeBeforeTheOutputWhateverTheChunks) {
  for (const int64_t chunk : {3, 16, 512}) {
    Make(8, {.max_step_tokens = chunk});
    Request request = Greedy(50, 2);
    request.sampling.prompt_logprobs = 2;
    const auto rival = Submit(Greedy(30, 60, 3));  // makes the pool small enough to preempt for
    const auto sink = Submit(request);
    Run();
    ASSERT_TRUE(sink->prompt_logprobs.has_value());
    ASSERT_EQ(sink->prompt_logprobs->size(), 50u);
    EXPECT_FALSE((*sink->prompt_logprobs)[0].has_value());
    for (int i = 1; i < 50; ++i) {
      const auto logits = model_->LogitsAfter(std::span(request.prompt).first(i));
      const PositionLogprobs& got = (*sink->prompt_logprobs)[i].value();
      EXPECT_EQ(got.chosen.token, request.prompt[i]);
      EXPECT_NEAR(got.chosen.logprob, Logprob(logits, request.prompt[i]), 1e-5);
      EXPECT_EQ(got.top.size(), 2u);
      EXPECT_EQ(got.chosen.rank,
                1 + std::ranges::count_if(logits, [&](float l) { return l > logits[request.prompt[i]]; }));
    }
    EXPECT_EQ(sink->at(0).tokens, ExpectedTokens(*model_, request, 0, 2));
  }
}

TEST_F(EngineTest, ZeroOutputTokensGivePromptLogprobsAlone) {
  Make(8);
  Request request = Greedy(128, 0);
  request.sampling.prompt_logprobs = 0;
  const auto sink = Submit(request);
  Run();
  ASSERT_TRUE(sink->prompt_logprobs.has_value());
  EXPECT_EQ(sink->prompt_logprobs->size(), 128u);
  EXPECT_EQ(sink->reason(), FinishReason::kLength);
  EXPECT_TRUE(sink->at(0).tokens.empty());
}

TEST_F(EngineTest, UrgentRequestsTakeTheirPlaceWhereThePolicyAllowsIt) {
  Make(8, {.max_sequences = 1, .scheduling = "priority:preempt=1,age_s=1000"});
  Request urgent = Greedy(20, 10, 1);
  urgent.priority = -1;
  const auto slow = Submit(Greedy(20, 60));
  for (int i = 0; i < 5; ++i) engine_->Step();
  const auto quick = Submit(urgent);
  for (int i = 0; i < 12; ++i) engine_->Step();
  EXPECT_TRUE(quick->finished());
  EXPECT_FALSE(slow->finished());
  Run();
  EXPECT_EQ(slow->at(0).tokens, ExpectedTokens(*model_, Greedy(20, 60), 0, 60));
}

TEST_F(EngineTest, RecordsWhatDashboardsShow) {
  Make(8);
  Submit(Greedy(20, 5));
  Run();
  EngineMetrics& metrics = engine_->metrics();
  EXPECT_EQ(metrics.prompt_tokens.value(), 20);
  EXPECT_EQ(metrics.generation_tokens.value(), 5);
  EXPECT_EQ(metrics.finished_length.value(), 1);
  EXPECT_NEAR(metrics.inter_token_latency.sum(), 0.04, 1e-9);  // four gaps of a step of 10 ms
  EXPECT_NEAR(metrics.decode_time.sum(), 0.04, 1e-9);
  EXPECT_NEAR(metrics.time_per_output_token.sum(), 0.01, 1e-9);
  EXPECT_NEAR(metrics.step_tokens.sum(), 24, 1e-9);
  EXPECT_EQ(metrics.prompt_length.sum(), 20);
  EXPECT_EQ(metrics.kv_bytes_used.value(), 0);
  const std::string text = metrics.registry.Render();
  for (const char* name :
       {"quire:num_requests_running", "quire:num_requests_waiting", "quire:kv_cache_usage_perc",
        "quire:prompt_tokens_total", "quire:generation_tokens_total", "quire:request_success_total",
        "quire:time_to_first_token_seconds_bucket", "quire:inter_token_latency_seconds_bucket",
        "quire:e2e_request_latency_seconds_bucket", "quire:request_queue_time_seconds_bucket",
        "quire:iteration_tokens_total_bucket", "quire:prefix_cache_queries_total",
        "quire:prefix_cache_hits_total", "quire:prompt_tokens_cached_total", "source=\"local_cache_hit\"",
        "state=\"cached\"", "finished_reason=\"length\"", "state=\"waste\""}) {
    EXPECT_THAT(text, HasSubstr(name));
  }
}

TEST_F(EngineTest, DrainFinishesWhatRunsAndStopCancelsIt) {
  Make(8);
  const auto a = Submit(Greedy(4, 20));
  engine_->Drain();
  EXPECT_EQ(a->reason(), FinishReason::kLength);
  const auto refused = engine_->Submit(Greedy(4, 4), std::make_shared<CollectingSink>());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);

  Make(8);
  const auto b = Submit(Greedy(4, 20));
  engine_->Step();
  engine_->Stop();
  engine_->Stop();
  EXPECT_EQ(b->reason(), FinishReason::kCancelled);
  EXPECT_EQ(engine_->Submit(Greedy(4, 4), b).error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace quire

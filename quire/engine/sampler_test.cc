// Every parameter against a slow reference written here, draws against exact probabilities, and what draws
// may depend on.
#include "quire/engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <vector>

namespace quire {
namespace {

using Distribution = std::vector<double>;

// -- The reference: sort everything, in double
// ---------------------------------------------------------------

Distribution Softmax(const std::vector<double>& logits) {
  const double max = std::ranges::max(logits);
  Distribution p;
  for (double logit : logits) p.push_back(std::exp(logit - max));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

// Keeps the tokens of `order` until their mass reaches `mass`, and renormalises.
Distribution KeepMass(const Distribution& p, const std::vector<int>& order, double mass) {
  Distribution kept(p.size(), 0);
  double reached = 0, sum = 0;
  for (int token : order) {
    if (reached >= mass && reached > 0) break;
    kept[token] = p[token];
    reached += p[token];
  }
  for (double x : kept) sum += x;
  for (double& x : kept) x /= sum;
  return kept;
}

std::vector<int> SortedBy(size_t count, const std::function<double(int)>& key) {
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, key);
  return order;
}

Distribution Reference(const std::vector<float>& raw, const SamplingParams& params,
                       const std::vector<Token>& prompt, const std::vector<Token>& output) {
  std::vector<double> logits(raw.begin(), raw.end());
  for (const auto& [token, bias] : params.logit_bias) logits[token] += bias;
  for (size_t t = 0; t < logits.size(); ++t) {
    const double in_output = static_cast<double>(std::ranges::count(output, static_cast<Token>(t)));
    const bool seen = in_output > 0 || std::ranges::count(prompt, static_cast<Token>(t)) > 0;
    if (seen)
      logits[t] =
          logits[t] > 0 ? logits[t] / params.repetition_penalty : logits[t] * params.repetition_penalty;
    logits[t] -= params.frequency_penalty * in_output + (in_output > 0 ? params.presence_penalty : 0);
  }
  for (double& logit : logits) logit /= params.temperature;
  Distribution p = Softmax(logits);
  const auto by_probability = [&] { return SortedBy(p.size(), [&](int t) { return -p[t]; }); };
  if (params.top_k > 0 && params.top_k < static_cast<int>(p.size())) {
    const std::vector<int> order = by_probability();
    for (size_t i = params.top_k; i < order.size(); ++i) p[order[i]] = 0;
    p = KeepMass(p, by_probability(), 2);
  }
  if (params.typical_p < 1) {
    double entropy = 0;
    for (double x : p) entropy -= x > 0 ? x * std::log(x) : 0;
    p = KeepMass(
        p, SortedBy(p.size(), [&](int t) { return p[t] > 0 ? std::abs(entropy + std::log(p[t])) : 1e9; }),
        params.typical_p);
  }
  if (params.top_p < 1) p = KeepMass(p, by_probability(), params.top_p);
  const double floor = params.min_p * std::ranges::max(p);
  for (double& x : p) x = x < floor ? 0 : x;
  return KeepMass(p, by_probability(), 2);
}

// -- Running the sampler
// -------------------------------------------------------------------------------------

std::vector<float> RandomLogits(int vocab, uint32_t seed, double spread = 2) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, spread);
  std::vector<float> logits;
  for (int i = 0; i < vocab; ++i) logits.push_back(static_cast<float>(normal(random)));
  return logits;
}

template <typename Set>
SamplingParams With(Set&& set) {
  SamplingParams params;
  set(params);
  return params;
}

class Drawer {
 public:
  explicit Drawer(int vocab) : sampler_(BestKernels(), vocab) {}
  Token Draw(std::vector<float> logits, const SamplingParams& params, uint64_t seed, int64_t position,
             const TokenCounts& seen = {}, std::span<const Token> masked = {}) {
    const auto sampled = sampler_.Sample(
        logits, {.params = params, .seen = seen, .masked = masked, .seed = seed, .position = position});
    EXPECT_EQ(sampled.size(), 1u);
    return sampled.at(0).token;
  }
  Sampler sampler_;
};

// Chi-square of `draws` draws against `expected`; also no token that the reference excludes may appear.
void ExpectDraws(const std::vector<float>& logits, const SamplingParams& params, const Distribution& expected,
                 const TokenCounts& seen = {}, int draws = 20000) {
  Drawer drawer(static_cast<int>(logits.size()));
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) ++counts[drawer.Draw(logits, params, 1234, i, seen)];
  double chi_square = 0, rest_expected = 0, rest_counted = 0;
  int freedom = -1;
  for (size_t t = 0; t < logits.size(); ++t) {
    const double want = expected[t] * draws;
    EXPECT_TRUE(expected[t] > 0 || counts[t] == 0) << "token " << t << " is excluded";
    if (want < 8) {
      rest_expected += want, rest_counted += counts[t];
      continue;
    }
    chi_square += (counts[t] - want) * (counts[t] - want) / want;
    ++freedom;
  }
  if (rest_expected >= 8) {
    chi_square += (rest_counted - rest_expected) * (rest_counted - rest_expected) / rest_expected;
    ++freedom;
  }
  // Mean plus five standard deviations: the draws are fixed by the seed, so this passes always or never.
  EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2.0 * std::max(freedom, 1)) + 5);
}

struct Case {
  const char* name;
  std::function<void(SamplingParams&)> set;
};

class SamplerDistribution : public testing::TestWithParam<Case> {};

TEST_P(SamplerDistribution, IsTheReference) {
  SamplingParams params;
  GetParam().set(params);
  const std::vector<Token> prompt = {1, 2, 3, 3, 40}, output = {5, 5, 5, 3, 41};
  TokenCounts seen;
  if (TokenCounts::Needed(params)) {
    seen.AddPrompt(prompt);
    for (Token token : output) seen.AddOutput(token);
  }
  for (const int vocab : {50, 700}) {
    const std::vector<float> logits = RandomLogits(vocab, 3);
    ExpectDraws(logits, params, Reference(logits, params, prompt, output), seen);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Parameters, SamplerDistribution,
    testing::Values(
        Case{"plain", [](auto&) {}}, Case{"hot", [](auto& p) { p.temperature = 1.7; }},
        Case{"cold", [](auto& p) { p.temperature = 0.3; }}, Case{"top_k", [](auto& p) { p.top_k = 5; }},
        Case{"top_k_one", [](auto& p) { p.top_k = 1; }}, Case{"top_k_large", [](auto& p) { p.top_k = 300; }},
        Case{"top_k_beyond", [](auto& p) { p.top_k = 100000; }},
        Case{"top_p", [](auto& p) { p.top_p = 0.8; }},
        Case{"top_p_flat", [](auto& p) { p.top_p = 0.97, p.temperature = 10; }},
        Case{"top_p_tiny", [](auto& p) { p.top_p = 1e-6; }}, Case{"min_p", [](auto& p) { p.min_p = 0.1; }},
        Case{"typical", [](auto& p) { p.typical_p = 0.6; }},
        Case{"typical_flat", [](auto& p) { p.typical_p = 0.9, p.temperature = 5; }},
        Case{"repetition", [](auto& p) { p.repetition_penalty = 1.8; }},
        Case{"presence", [](auto& p) { p.presence_penalty = 1.5; }},
        Case{"frequency", [](auto& p) { p.frequency_penalty = 0.7; }},
        Case{"negative_penalties", [](auto& p) { p.presence_penalty = -1, p.frequency_penalty = -0.5; }},
        Case{"bias", [](auto& p) { p.logit_bias = {{7, 3.0f}, {8, -100.0f}}; }},
        Case{"everything",
             [](auto& p) {
               p.temperature = 1.3, p.top_k = 30, p.typical_p = 0.95, p.top_p = 0.9, p.min_p = 0.02;
               p.repetition_penalty = 1.2, p.presence_penalty = 0.4, p.frequency_penalty = 0.3;
               p.logit_bias = {{7, 2.0f}, {11, -2.0f}};
             }}),
    [](const auto& info) { return info.param.name; });

// -- Greedy
// --------------------------------------------------------------------------------------------------

TEST(Sampler, GreedyTakesTheFirstOfTheMostLikely) {
  Drawer drawer(300);
  std::vector<float> logits = RandomLogits(300, 1);
  logits[123] = logits[222] = 50;
  SamplingParams params = With([](auto& p) { p.temperature = 0; });
  EXPECT_EQ(drawer.Draw(logits, params, 1, 0), 123);
  params.temperature = 1e-9;  // as good as zero, and must not divide by it
  EXPECT_EQ(drawer.Draw(logits, params, 1, 0), 123);
  params.temperature = 1e-4;
  params.top_k = 1;
  EXPECT_EQ(drawer.Draw(logits, params, 1, 0), 123);
}

TEST(Sampler, GreedyObeysBiasPenaltiesAndMask) {
  Drawer drawer(8);
  const std::vector<float> logits = {1, 5, 4, 3, 2, 0, -1, -2};
  SamplingParams params = With([](auto& p) { p.temperature = 0; });
  EXPECT_EQ(drawer.Draw(logits, params, 1, 0), 1);
  const Token masked[] = {1, 2};
  EXPECT_EQ(drawer.Draw(logits, params, 1, 0, {}, masked), 3);
  params.logit_bias = {{5, 10.0f}};
  EXPECT_EQ(drawer.Draw(logits, params, 1, 0), 5);
  params.logit_bias.clear();
  params.repetition_penalty = 2;
  TokenCounts seen;
  seen.AddPrompt(std::vector<Token>{1});
  EXPECT_EQ(drawer.Draw(logits, params, 1, 0, seen), 2);
}

// -- What draws depend on
// ------------------------------------------------------------------------------------

TEST(Sampler, UniformsAreUniformAndUnrelated) {
  double sum = 0, square = 0, product = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double a = UniformAt(7, 0, i), b = UniformAt(7, 1, i), c = UniformAt(8, 0, i);
    ASSERT_TRUE(a >= 0 && a < 1);
    sum += a;
    square += a * a;
    product += (a - 0.5) * (b - 0.5) + (a - 0.5) * (c - 0.5) + (a - 0.5) * (UniformAt(7, 0, i + 1) - 0.5);
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
  EXPECT_NEAR(square / kDraws, 1.0 / 3, 0.005);
  EXPECT_NEAR(product / kDraws, 0, 0.003);
  EXPECT_EQ(UniformAt(7, 3, 11), UniformAt(7, 3, 11));
}

TEST(Sampler, ADrawDependsOnSeedSampleAndPositionOnly) {
  const std::vector<float> logits = RandomLogits(1000, 5);
  SamplingParams params = With([](auto& p) { p.top_p = 0.95; });
  Drawer fresh(1000), used(1000);
  for (int i = 0; i < 50; ++i) {
    std::vector<float> other = RandomLogits(1000, 100 + i);
    const SamplingParams other_params =
        With([&](auto& p) { p.temperature = 0.1 * i, p.top_k = i, p.logprobs = 3; });
    used.Draw(other, other_params, i, i);
    EXPECT_EQ(used.Draw(logits, params, 9, i), fresh.Draw(logits, params, 9, i));
  }
}

TEST(Sampler, SeveralDrawsAreThoseOfTheirSamples) {
  const std::vector<float> logits = RandomLogits(400, 6);
  for (const double top_p : {1.0, 0.9}) {
    const SamplingParams params = With([&](auto& p) { p.top_p = top_p; });
    Sampler sampler(BestKernels(), 400);
    std::vector<float> row = logits;
    const auto all = sampler.Sample(row, {.params = params, .seen = {}, .masked = {}, .seed = 4, .draws = 6});
    ASSERT_EQ(all.size(), 6u);
    for (int i = 0; i < 6; ++i) {
      row = logits;
      const auto one =
          sampler.Sample(row, {.params = params, .seen = {}, .masked = {}, .seed = 4, .first_sample = i});
      EXPECT_EQ(one[0].token, all[i].token);
    }
  }
}

// -- Odd rows
// ------------------------------------------------------------------------------------------------

TEST(Sampler, RefusesLogitsThatAreNotNumbers) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const double temperature : {0.0, 1.0}) {
      for (const int at : {0, 57, 299}) {
        Sampler sampler(BestKernels(), 300);
        std::vector<float> logits = RandomLogits(300, 1);
        logits[at] = bad;
        const SamplingParams params = With([&](auto& p) { p.temperature = temperature, p.top_p = 0.9; });
        EXPECT_TRUE(sampler.Sample(logits, {.params = params, .seen = {}, .masked = {}}).empty());
        EXPECT_FALSE(sampler.Logprobs(logits, 3, 2).has_value());
      }
    }
  }
}

TEST(Sampler, NeverDrawsWhatTheModelExcludes) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  std::vector<float> logits(1000, kNever);
  logits[300] = 1, logits[301] = 2, logits[999] = 0;
  for (const SamplingParams& params :
       {With([](auto&) {}), With([](auto& p) { p.temperature = 3; }), With([](auto& p) { p.top_p = 0.999; }),
        With([](auto& p) { p.min_p = 0.01; }), With([](auto& p) { p.typical_p = 0.9; }),
        With([](auto& p) { p.top_k = 50; })}) {
    Drawer drawer(1000);
    for (int i = 0; i < 200; ++i) {
      const Token token = drawer.Draw(logits, params, 3, i);
      EXPECT_TRUE(token == 300 || token == 301 || token == 999) << token;
    }
  }
}

TEST(Sampler, LogprobsRankTiesByTokenAndLeaveTheRowAlone) {
  Sampler sampler(BestKernels(), 6);
  const std::vector<float> logits = {1, 3, 3, 0, 2, -1};
  const PositionLogprobs got = sampler.Logprobs(logits, 4, 3).value();
  EXPECT_EQ(got.chosen.rank, 3);
  ASSERT_EQ(got.top.size(), 3u);
  EXPECT_EQ(got.top[0].token, 1);
  EXPECT_EQ(got.top[1].token, 2);
  EXPECT_EQ(got.top[2].token, 4);
  EXPECT_EQ(sampler.Logprobs(logits, 4, 20)->top.size(), 6u);
  EXPECT_TRUE(sampler.Logprobs(logits, 4, 0)->top.empty());
}

}  // namespace
}  // namespace quire

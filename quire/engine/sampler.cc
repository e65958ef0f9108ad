#include "quire/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quire/base/split_mix.h"

// How it stays fast on vocabularies of a quarter million tokens: nothing sorts the vocabulary. Greedy is one
// pass of the log-sum-exp kernel. An untruncated draw takes the log-sum-exp of every block of kBlock logits,
// picks a block by mass and only there looks at single tokens. Truncation collects leading candidates with a
// rising threshold, in one pass, and asks for more only while their mass is too small.

namespace quire {
namespace {

constexpr size_t kBlock = 256;
constexpr size_t kFirstCandidates = 64;  // top_p looks at this many first ...
constexpr size_t kCandidateGrowth = 8;   // ... and at this many times more while they are not enough
constexpr double kGreedyBelow = 1e-5;    // temperatures that float logits cannot be divided by

}  // namespace

bool TokenCounts::Needed(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.presence_penalty != 0 || params.frequency_penalty != 0;
}

double UniformAt(uint64_t seed, int sample, int64_t position) {
  uint64_t x = SplitMix(seed);
  x = SplitMix(x ^ static_cast<uint64_t>(sample));
  x = SplitMix(x ^ static_cast<uint64_t>(position));
  return UnitInterval(x);
}

Sampler::Sampler(const KernelTable& kernels, int vocab_size) : kernels_(kernels) {
  const size_t blocks = (vocab_size + kBlock - 1) / kBlock;
  block_log_sums_.reserve(blocks);
  block_mass_.reserve(blocks);
}

// -- Edits: the few logits that a request's own parameters change -------------------------------------------

void Sampler::SetLogit(std::span<float> logits, Token token, float value) {
  edits_.emplace_back(token, logits[token]);
  logits[token] = value;
}

void Sampler::Edit(std::span<float> logits, const SampleInput& input) {
  const SamplingParams& params = input.params;
  for (const auto& [token, bias] : params.logit_bias) SetLogit(logits, token, logits[token] + bias);
  for (const auto& [token, count] : input.seen.counts()) {
    float logit = logits[token];
    const auto repetition = static_cast<float>(params.repetition_penalty);
    logit = logit > 0 ? logit / repetition : logit * repetition;
    if (count.in_output > 0) {
      logit -= static_cast<float>(params.frequency_penalty * count.in_output + params.presence_penalty);
    }
    SetLogit(logits, token, logit);
  }
  for (Token token : input.masked) SetLogit(logits, token, -std::numeric_limits<float>::infinity());
}

void Sampler::UndoEdits(std::span<float> logits) {
  for (; !edits_.empty(); edits_.pop_back()) logits[edits_.back().first] = edits_.back().second;
}

// -- Truncation ---------------------------------------------------------------------------------------------

// The `count` most likely tokens, sorted. The buffer is cut to them whenever it has doubled, which raises the
// threshold for those that follow.
void Sampler::TakeLeading(std::span<const float> logits, size_t count) {
  candidates_.clear();
  if (count == 0) return;
  const size_t capacity = 2 * count + kFirstCandidates;
  float threshold = -std::numeric_limits<float>::infinity();
  const auto cut = [&] {
    std::ranges::nth_element(candidates_, candidates_.begin() + static_cast<int64_t>(count) - 1, Before);
    candidates_.resize(count);
    threshold = candidates_.back().logit;
  };
  for (size_t i = 0; i < logits.size(); ++i) {
    // An equal logit further on loses the tie, so it never replaces one that is there.
    if (!(logits[i] > threshold)) continue;
    candidates_.push_back({logits[i], static_cast<Token>(i)});
    if (candidates_.size() == capacity) cut();
  }
  if (candidates_.size() > count) cut();
  std::ranges::sort(candidates_, Before);
}

void Sampler::TakeAbove(std::span<const float> logits, float floor) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] >= floor) candidates_.push_back({logits[i], static_cast<Token>(i)});
  }
}

double Sampler::LogSumOfCandidates() const {
  double sum = 0;
  const float max = std::ranges::max(candidates_, {}, &Candidate::logit).logit;
  for (const Candidate& c : candidates_) sum += std::exp(static_cast<double>(c.logit) - max);
  return max + std::log(sum);
}

// Locally typical sampling: the tokens whose information is closest to the entropy, up to `mass`.
void Sampler::KeepTypical(double mass) {
  const double log_sum = LogSumOfCandidates();
  double entropy = 0;
  for (const Candidate& c : candidates_) entropy -= std::exp(c.logit - log_sum) * (c.logit - log_sum);
  const auto surprise = [&](const Candidate& c) { return std::abs(entropy + (c.logit - log_sum)); };
  const auto closer = [&](const Candidate& a, const Candidate& b) {
    const double x = surprise(a), y = surprise(b);
    return x != y ? x < y : Before(a, b);
  };
  // Sorts only as far as the mass reaches.
  double reached = 0;
  size_t kept = 0, sorted = 0;
  for (size_t step = kFirstCandidates; kept < candidates_.size() && reached < mass; ++kept) {
    if (kept == sorted) {
      const auto from = candidates_.begin() + static_cast<int64_t>(sorted);
      sorted = std::min(candidates_.size(), sorted + step);
      std::partial_sort(from, candidates_.begin() + static_cast<int64_t>(sorted), candidates_.end(), closer);
      step *= kCandidateGrowth;
    }
    reached += std::exp(candidates_[kept].logit - log_sum);
  }
  candidates_.resize(kept);
  std::ranges::sort(candidates_, Before);
}

// The fewest leading candidates that reach `mass` of a distribution with this log-sum; all when they do not.
void Sampler::KeepTop(double mass, double log_sum) {
  double reached = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && (kept == 0 || reached < mass)) {
    reached += std::exp(candidates_[kept++].logit - log_sum);
  }
  candidates_.resize(kept);
}

// Fills candidates_ where the parameters leave out tokens; false where they leave out none.
bool Sampler::TakeCandidates(std::span<const float> logits, const SamplingParams& params, float log_sum,
                             float max) {
  const size_t vocab = logits.size();
  const size_t top_k = params.top_k > 0 ? std::min<size_t>(params.top_k, vocab) : vocab;
  const bool top_p = params.top_p < 1, typical = params.typical_p < 1;
  const auto log_min_p = static_cast<float>(std::log(params.min_p));  // -inf: off
  if (top_k == vocab && !typical && !top_p && params.min_p == 0) return false;

  if (top_k < vocab || typical) {
    if (top_k < vocab) {
      TakeLeading(logits, top_k);
    } else {
      TakeAbove(logits, std::numeric_limits<float>::lowest());
    }
    if (typical) KeepTypical(params.typical_p);
    if (top_p) KeepTop(params.top_p, LogSumOfCandidates());
  } else if (top_p) {
    for (size_t count = kFirstCandidates;; count *= kCandidateGrowth) {
      TakeLeading(logits, std::min(count, vocab));
      const size_t taken = candidates_.size();
      KeepTop(params.top_p, log_sum);
      if (candidates_.size() < taken || count >= vocab) break;
    }
  } else {
    TakeAbove(logits, max + log_min_p);
  }
  if (params.min_p > 0) {
    const float first = std::ranges::max(candidates_, {}, &Candidate::logit).logit;
    std::erase_if(candidates_, [&](const Candidate& c) { return c.logit < first + log_min_p; });
  }
  return true;
}

// -- Draws --------------------------------------------------------------------------------------------------

std::span<const float> Sampler::ApplyTemperature(std::span<const float> logits, double temperature,
                                                 float max) {
  if (temperature == 1) return logits;
  const auto factor = static_cast<float>(1 / temperature);
  scaled_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) scaled_[i] = (logits[i] - max) * factor;
  return scaled_;
}

Token Sampler::DrawCandidate(double uniform) const {
  const double log_sum = LogSumOfCandidates();
  double reached = 0;
  for (const Candidate& c : candidates_) {
    reached += std::exp(c.logit - log_sum);
    if (reached > uniform) return c.token;
  }
  // Rounding left the total below 1, and the draw fell behind it.
  return candidates_.back().token;
}

void Sampler::MeasureBlocks(std::span<const float> logits, float log_sum) {
  block_log_sums_.clear();
  block_mass_.clear();
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t count = std::min(kBlock, logits.size() - begin);
    const std::span<const float> block = logits.subspan(begin, count);
    const float block_log_sum = kernels_.log_sum_exp(block.data(), std::ssize(block), nullptr);
    // Not finite where every logit of the block is masked: the row as a whole was checked.
    block_log_sums_.push_back(block_log_sum);
    block_mass_.push_back(
        std::isfinite(block_log_sum) ? std::exp(static_cast<double>(block_log_sum) - log_sum) : 0);
  }
}

Token Sampler::DrawFromAll(std::span<const float> logits, double uniform) const {
  double total = 0;
  for (double mass : block_mass_) total += mass;
  double target = uniform * total;
  size_t block = 0, last = 0;
  for (; block < block_mass_.size(); ++block) {
    if (block_mass_[block] > 0) last = block;
    if (target < block_mass_[block]) break;
    target -= block_mass_[block];
  }
  if (block == block_mass_.size()) {
    block = last;
    target = block_mass_[block];
  }
  const double log_sum = block_log_sums_[block];
  target /= block_mass_[block];
  const size_t begin = block * kBlock, end = std::min(begin + kBlock, logits.size());
  Token drawn = 0;
  for (size_t i = begin; i < end; ++i) {
    const double p = std::exp(logits[i] - log_sum);
    if (p == 0) continue;
    drawn = static_cast<Token>(i);
    if (target < p) break;
    target -= p;
  }
  return drawn;
}

std::vector<Token> Sampler::DrawTokens(std::span<float> logits, const SampleInput& input) {
  int64_t best = 0;
  float log_sum = kernels_.log_sum_exp(logits.data(), std::ssize(logits), &best);
  if (!std::isfinite(log_sum)) return {};
  if (input.params.temperature < kGreedyBelow)
    return std::vector<Token>(input.draws, static_cast<Token>(best));

  const std::span<const float> row = ApplyTemperature(logits, input.params.temperature, logits[best]);
  if (row.data() != logits.data()) log_sum = kernels_.log_sum_exp(row.data(), std::ssize(row), nullptr);
  const bool truncated = TakeCandidates(row, input.params, log_sum, row[best]);
  if (!truncated) MeasureBlocks(row, log_sum);
  std::vector<Token> tokens;
  for (int i = 0; i < input.draws; ++i) {
    const double uniform = UniformAt(input.seed, input.first_sample + i, input.position);
    tokens.push_back(truncated ? DrawCandidate(uniform) : DrawFromAll(row, uniform));
  }
  return tokens;
}

std::vector<SampledToken> Sampler::Sample(std::span<float> logits, const SampleInput& input) {
  Edit(logits, input);
  const std::vector<Token> tokens = DrawTokens(logits, input);
  UndoEdits(logits);

  std::vector<SampledToken> sampled;
  for (Token token : tokens) sampled.push_back({.token = token, .logprobs = {}});
  if (input.params.logprobs && !sampled.empty()) {
    const float log_sum = kernels_.log_sum_exp(logits.data(), std::ssize(logits), nullptr);
    if (!std::isfinite(log_sum)) return {};
    for (SampledToken& s : sampled) {
      s.logprobs = MakeLogprobs(logits, s.token, *input.params.logprobs, log_sum);
    }
  }
  return sampled;
}

// -- Log-probabilities --------------------------------------------------------------------------------------

PositionLogprobs Sampler::MakeLogprobs(std::span<const float> logits, Token token, int top, float log_sum) {
  const float chosen = logits[token];
  int rank = 1;
  for (float logit : logits) rank += logit > chosen;
  PositionLogprobs logprobs{.chosen = {token, chosen - log_sum, rank}, .top = {}};
  TakeLeading(logits, std::min<size_t>(top, logits.size()));
  for (size_t i = 0; i < candidates_.size(); ++i) {
    logprobs.top.push_back({candidates_[i].token, candidates_[i].logit - log_sum, static_cast<int>(i) + 1});
  }
  return logprobs;
}

std::optional<PositionLogprobs> Sampler::Logprobs(std::span<const float> logits, Token token, int top) {
  const float log_sum = kernels_.log_sum_exp(logits.data(), std::ssize(logits), nullptr);
  if (!std::isfinite(log_sum)) return std::nullopt;
  return MakeLogprobs(logits, token, top, log_sum);
}

}  // namespace quire

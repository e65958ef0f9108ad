// From the logits of one position to tokens. A draw depends on the logits, the parameters, the tokens so far
// and (seed, sample, position) only: there is no generator whose state a neighbour in the batch could move.
//
// Order, as request.h states it: logit_bias, penalties, the mask of stop tokens before min_tokens,
// temperature, then top_k, typical_p, top_p, min_p, each on the renormalised rest of the one before.
// Log-probabilities are of the raw logits.
#ifndef QUIRE_ENGINE_SAMPLER_H_
#define QUIRE_ENGINE_SAMPLER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "quire/engine/request.h"
#include "quire/engine/token_sink.h"
#include "quire/kernels/kernels.h"

namespace quire {

// Which tokens a sequence has seen: what penalties look at. Empty where no penalty is set.
class TokenCounts {
 public:
  struct Count {
    bool in_prompt = false;
    int32_t in_output = 0;
  };
  static bool Needed(const SamplingParams& params);

  void AddPrompt(std::span<const Token> prompt) {
    for (Token token : prompt) counts_[token].in_prompt = true;
  }
  void AddOutput(Token token) { ++counts_[token].in_output; }
  const std::unordered_map<Token, Count>& counts() const { return counts_; }

 private:
  std::unordered_map<Token, Count> counts_;
};

// A number in [0, 1), uniform and independent for every (seed, sample, position).
double UniformAt(uint64_t seed, int sample, int64_t position);

struct SampleInput {
  const SamplingParams& params;
  const TokenCounts& seen;
  std::span<const Token> masked;  // tokens that may not be drawn yet
  uint64_t seed = 0;
  int first_sample = 0;  // draws are for samples [first_sample, first_sample + draws)
  int draws = 1;
  int64_t position = 0;  // of the output token that is drawn
};

struct SampledToken {
  Token token = 0;
  PositionLogprobs logprobs;  // where params.logprobs asked
};

class Sampler {
 public:
  Sampler(const KernelTable& kernels, int vocab_size);

  // Draws `input.draws` tokens from one row; nothing when the logits are not numbers. The row is overwritten.
  std::vector<SampledToken> Sample(std::span<float> logits, const SampleInput& input);

  // The log-probability of a given token and of the `top` most likely ones; nothing when the logits are not
  // numbers.
  std::optional<PositionLogprobs> Logprobs(std::span<const float> logits, Token token, int top);

 private:
  struct Candidate {
    float logit = 0;
    Token token = 0;
  };
  static bool Before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  }

  void Edit(std::span<float> logits, const SampleInput& input);
  void SetLogit(std::span<float> logits, Token token, float value);
  void UndoEdits(std::span<float> logits);

  std::vector<Token> DrawTokens(std::span<float> logits, const SampleInput& input);
  std::span<const float> ApplyTemperature(std::span<const float> logits, double temperature, float max);
  bool TakeCandidates(std::span<const float> logits, const SamplingParams& params, float log_sum, float max);
  void TakeLeading(std::span<const float> logits, size_t count);
  void TakeAbove(std::span<const float> logits, float floor);
  void KeepTypical(double mass);
  void KeepTop(double mass, double log_sum);
  double LogSumOfCandidates() const;
  Token DrawCandidate(double uniform) const;
  void MeasureBlocks(std::span<const float> logits, float log_sum);
  Token DrawFromAll(std::span<const float> logits, double uniform) const;
  PositionLogprobs MakeLogprobs(std::span<const float> logits, Token token, int top, float log_sum);

  const KernelTable& kernels_;
  std::vector<std::pair<Token, float>> edits_;  // changed logits with what they were, in order
  std::vector<float> scaled_;                   // the row after temperature
  std::vector<Candidate> candidates_;           // what truncation leaves
  std::vector<float> block_log_sums_;           // log-sum-exp of every block of the row
  std::vector<double> block_mass_;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_SAMPLER_H_

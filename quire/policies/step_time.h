// How long a step takes, learned from the steps that were taken, and how much of a prompt fits into one that
// is to end in time: prompts are computed in chunks beside the decodes, and the chunk follows a goal for the
// time between tokens instead of a fixed number of tokens.
//
// Stall-free chunks are Sarathi-Serve's (Agrawal et al., OSDI 2024, 4.2 and 4.3), which profiles the token
// budget once; here a least-squares fit with forgetting follows the machine and the depth of the contexts.
#ifndef QUIRE_POLICIES_STEP_TIME_H_
#define QUIRE_POLICIES_STEP_TIME_H_

#include <cstdint>

#include "quire/policies/linear_fit.h"

namespace quire {

// What a step computes.
struct StepWork {
  int64_t tokens = 0;
  int64_t logits = 0;    // tokens whose logits are computed
  int64_t attended = 0;  // positions that its tokens attend to, summed over the tokens

  // `n` tokens of a sequence from `position` on.
  void Add(int64_t position, int64_t n, bool with_logits);
  // 0 where everybody decodes.
  int64_t tokens_without_logits() const { return tokens - logits; }
};

class StepTime {
 public:
  void Learn(const StepWork& work, double seconds);
  // Never negative; 0 before anything was learned.
  double Seconds(const StepWork& work) const;
  // Whether the steps so far tell what a token takes from what a step and its logits take. Not where all had
  // about as many tokens without logits, as when everybody only decodes: then a prompt would seem to take no
  // longer than a token.
  bool TellsTokensApart() const;
  // Tokens of a prompt, from `position` on, that a step with `work` can take beside it and end within
  // `goal_s`: 0 to `most`. While tokens are not told apart a small chunk, and no more than as many decodes
  // could have computed by then.
  int64_t ChunkWithin(double goal_s, const StepWork& work, int64_t position, int64_t most) const;

 private:
  using Fit = LinearFit<4>;  // of: one, tokens, logits, attended
  static Fit::Facts FactsOf(const StepWork& work);
  int64_t CautiousChunk(double goal_s, const StepWork& work) const;

  static constexpr int64_t kSpread = 16;
  Fit seconds_;
  int64_t least_ = INT64_MAX, most_ = 0;  // tokens without logits of a step
};

}  // namespace quire

#endif  // QUIRE_POLICIES_STEP_TIME_H_

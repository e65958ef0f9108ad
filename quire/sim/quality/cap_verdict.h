// Which of context, accuracy and performance a way to keep KV improves over the full cache. An optimisation
// of serving improves two of the three at most (the CAP principle of the survey "The CAP Principle for LLM
// Serving", Zeng et al. 2024, section 3): a guide, no theorem, but who seems to have found all three has most
// likely measured noise.
#ifndef QUIRE_SIM_QUALITY_CAP_VERDICT_H_
#define QUIRE_SIM_QUALITY_CAP_VERDICT_H_

#include <string>

namespace quire {

struct CapFigures {
  double tokens_per_gib = 0;  // of context
  double solved = 0;          // share of all questions
  double nll_change = 0;      // against the full cache, per token
  double nll_error = 0;       // its standard error
  double speed_least = 0;     // tokens per second over the repetitions
  double speed_most = 0;
};

struct CapVerdict {
  bool context = false;      // 5 % more tokens in the same memory
  bool accuracy = false;     // likelihoods better by more than two standard errors, and no fewer solved
  bool performance = false;  // every repetition faster than the full cache's fastest

  bool all() const { return context && accuracy && performance; }
  std::string Letters() const;  // "C-P"
};

CapVerdict JudgeCap(const CapFigures& full, const CapFigures& figures);

}  // namespace quire

#endif  // QUIRE_SIM_QUALITY_CAP_VERDICT_H_

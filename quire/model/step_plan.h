// One step of the engine, as data: who runs, which tokens, on which pages. It is the only thing the scheduler
// and the model share.
#ifndef QUIRE_MODEL_STEP_PLAN_H_
#define QUIRE_MODEL_STEP_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "quire/base/token.h"
#include "quire/kv/page_table.h"

namespace quire {

enum class LogitsWanted { kNone, kLast, kAll };

// The tokens of one sequence that are computed in this step: a piece of a prompt, or one decoded token.
struct SequenceStep {
  std::span<const Token> tokens;
  int64_t position = 0;              // of tokens[0]
  const PageTable* pages = nullptr;  // covers position + tokens.size()
  LogitsWanted logits = LogitsWanted::kLast;
  // From this position on queries read only what the model's selection policy, if it has one, chooses.
  int64_t selects_from = INT64_MAX;

  // How many of the tokens come before that.
  int64_t full_tokens() const {
    return selects_from <= position ? 0 : std::min(selects_from - position, std::ssize(tokens));
  }
};

struct StepPlan {
  std::vector<SequenceStep> sequences;

  int64_t tokens() const {
    int64_t n = 0;
    for (const SequenceStep& s : sequences) n += static_cast<int64_t>(s.tokens.size());
    return n;
  }
};

// The logits that follow one position of one sequence of the plan. The values may be overwritten.
struct LogitsRow {
  int sequence = 0;         // index into StepPlan::sequences
  int64_t position = 0;     // of the token that these logits follow
  std::span<float> logits;  // [vocab]
};

// Called with a few rows at a time, in plan order, so that a long prompt never holds all its logits.
using LogitsSink = std::function<void(std::span<LogitsRow> rows)>;

}  // namespace quire

#endif  // QUIRE_MODEL_STEP_PLAN_H_

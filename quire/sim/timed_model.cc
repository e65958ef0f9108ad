#include "quire/sim/timed_model.h"

#include <chrono>

#include "quire/base/parse_number.h"
#include "quire/policies/step_time.h"

namespace quire {

Result<StepPrices> ParseStepPrices(std::string_view text) {
  StepPrices prices;
  std::string_view rest = text;
  for (double* const price : {&prices.step_us, &prices.token_us, &prices.logits_us, &prices.attended_us}) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const auto value = ParseNumber<double>(rest.substr(0, comma));
    if (!value || !(*value >= 0 && *value <= 1e9)) {
      return Fail(
          ErrorCode::kInvalidArgument,
          "'{}' are no prices of a step; give four numbers of microseconds: of a step, a token, a token "
          "with logits, a position attended to",
          text);
    }
    *price = *value;
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  if (!rest.empty() || prices.step_us + prices.token_us == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "'{}' are no prices of a step; give four, and one of the first two above 0", text);
  }
  return prices;
}

TimedModel::TimedModel(const LanguageModel& like, const StepPrices& prices, ManualClock& clock)
    : info_(like.info()),
      layouts_(like.kv_layouts().begin(), like.kv_layouts().end()),
      prices_(prices),
      clock_(clock),
      logits_(like.info().vocab_size) {}

void TimedModel::Forward(const StepPlan& plan, const PageArena&, const LogitsSink& sink) {
  StepWork work;
  for (const SequenceStep& step : plan.sequences) {
    work.Add(step.position, std::ssize(step.tokens), step.logits != LogitsWanted::kNone);
  }
  const double us = prices_.step_us + prices_.token_us * static_cast<double>(work.tokens) +
                    prices_.logits_us * static_cast<double>(work.logits) +
                    prices_.attended_us * static_cast<double>(work.attended);
  clock_.Advance(std::chrono::nanoseconds(static_cast<int64_t>(us * 1e3)));
  for (size_t i = 0; i < plan.sequences.size(); ++i) {
    const SequenceStep& step = plan.sequences[i];
    if (step.logits == LogitsWanted::kNone) continue;
    logits_.assign(logits_.size(), 0);
    if (logits_.size() > 1) logits_[1] = 1;
    LogitsRow row{.sequence = static_cast<int>(i),
                  .position = step.position + std::ssize(step.tokens) - 1,
                  .logits = logits_};
    sink({&row, 1});
  }
}

}  // namespace quire

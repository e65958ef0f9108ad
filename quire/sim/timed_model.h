// A model that computes nothing and takes the time that a real one would: with a clock that only it moves, an
// hour of load is simulated in seconds, and the same load gives the same times on every machine.
#ifndef QUIRE_SIM_TIMED_MODEL_H_
#define QUIRE_SIM_TIMED_MODEL_H_

#include <string_view>
#include <vector>

#include "quire/base/clock.h"
#include "quire/base/result.h"
#include "quire/model/language_model.h"

namespace quire {

// What a step takes, in microseconds: the sum of these.
struct StepPrices {
  double step_us = 0;
  double token_us = 0;     // of every token
  double logits_us = 0;    // of every token whose logits are wanted
  double attended_us = 0;  // of every position that a token attends to
};
// "2000,500,700,0.01", in that order. Errors: kInvalidArgument.
Result<StepPrices> ParseStepPrices(std::string_view text);

class TimedModel final : public LanguageModel {
 public:
  // With the facts and the page layout of `like`. REQUIRES: the clock outlives it.
  TimedModel(const LanguageModel& like, const StepPrices& prices, ManualClock& clock);

  const ModelInfo& info() const override { return info_; }
  std::span<const KvLayout> kv_layouts() const override { return layouts_; }
  // Every token is followed by token 1.
  void Forward(const StepPlan& plan, const PageArena& kv, const LogitsSink& sink) override;

 private:
  const ModelInfo info_;
  const std::vector<KvLayout> layouts_;
  const StepPrices prices_;
  ManualClock& clock_;
  std::vector<float> logits_;
};

}  // namespace quire

#endif  // QUIRE_SIM_TIMED_MODEL_H_

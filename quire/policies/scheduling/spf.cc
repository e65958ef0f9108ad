// What:   whoever is predicted to need the fewest further tokens first; waiting makes up for length.
// Source: speculative shortest-first of ALISE (Zhao et al., 2024, section 4.1), lengths as in
// length_predictor.h. Facts:  arrival_s, tenant, prompt, output_tokens, tokens_due, id. Cost: one prediction
// each and a sort a step. Good:   lowest mean completion time where lengths differ and repeat by tenant or
// prompt size. Loses:  before anything has finished it goes by max_tokens; a wrong prediction costs only
// order.
#include <memory>
#include <utility>

#include "quire/policies/length_predictor.h"
#include "quire/policies/recurrent_lengths.h"
#include "quire/policies/scheduling/ordering.h"

namespace quire {
namespace {

class ShortestFirst final : public SchedulingPolicy {
 public:
  ShortestFirst(double prompt_cost, double age_tokens_per_s, std::unique_ptr<LengthPredictor> predictor)
      : prompt_cost_(prompt_cost), age_tokens_per_s_(age_tokens_per_s), predictor_(std::move(predictor)) {}

  StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                  const StepBudget&) override {
    const auto key = [&](const SequenceFacts& f) { return Key(f); };
    return {.waiting = SortedBy(waiting, key), .running = SortedBy(running, key), .give_way = {}};
  }

  void Finished(const SequenceFacts& sequence) override { predictor_->Learn(sequence); }

 private:
  // Everybody ages alike, so the order of two sequences changes only with what is known of them.
  std::pair<double, uint64_t> Key(const SequenceFacts& f) const {
    const double work = predictor_->Remaining(f) + prompt_cost_ * static_cast<double>(f.tokens_due);
    return {work + age_tokens_per_s_ * f.arrival_s, f.id};
  }

  const double prompt_cost_, age_tokens_per_s_;
  const std::unique_ptr<LengthPredictor> predictor_;
};

constexpr std::string_view kPredictors[] = {"histogram", "recurrent"};

std::unique_ptr<LengthPredictor> MakePredictor(double choice) {
  if (choice == 0) return std::make_unique<LengthHistograms>();
  return std::make_unique<RecurrentLengths>();
}

constexpr PolicyParam kParams[] = {
    {"prompt_cost", 0.1, 0, 1, "what a token of prompt costs in tokens of output"},
    {"age_tokens_per_s", 8, 0.001, 1e6, "predicted tokens that a second of waiting outweighs"},
    {"predictor", 0, 0, 1, "what the lengths are learned with", kPredictors},
};

}  // namespace

extern const SchedulingRow kShortestFirstScheduling{
    .name = "spf",
    .summary = "predicted shortest first; the lengths are learned while serving",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<SchedulingPolicy> {
      return std::make_unique<ShortestFirst>(params["prompt_cost"], params["age_tokens_per_s"],
                                             MakePredictor(params["predictor"]));
    }};

}  // namespace quire

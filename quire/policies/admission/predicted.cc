// What:   room for what a sequence has and is predicted to put out.
// Source: S^3 (Jin et al., NeurIPS 2023, sections 3.1 and 3.2), lengths as in length_predictor.h.
// Facts:  tenant, prompt, output_tokens, max_output_tokens. Cost: one prediction each a step.
// Good:   where a preemption costs a lot: few are, and far more run than with room for the longest.
// Loses:  before anything has finished it goes by max_tokens; who puts out more than predicted may have
// somebody preempted.
#include <cmath>

#include "quire/policies/admission.h"
#include "quire/policies/length_predictor.h"

namespace quire {
namespace {

class Predicted final : public AdmissionPolicy {
 public:
  explicit Predicted(double share) : share_(share) {}

  int64_t RoomFor(const SequenceFacts& sequence, int64_t) const override {
    return std::ssize(sequence.prompt) + sequence.output_tokens +
           std::llround(share_ * predictor_.Remaining(sequence));
  }
  void Finished(const SequenceFacts& sequence) override { predictor_.Learn(sequence); }

 private:
  const double share_;
  LengthHistograms predictor_;
};

constexpr PolicyParam kParams[] = {
    {"share", 1, 0, 10, "of the predicted tokens, for which there must be room"},
};

}  // namespace

extern const AdmissionRow kPredictedAdmission{
    .name = "predicted",
    .summary = "room for the output that is predicted; the lengths are learned while serving",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<AdmissionPolicy> {
      return std::make_unique<Predicted>(params["share"]);
    }};

}  // namespace quire

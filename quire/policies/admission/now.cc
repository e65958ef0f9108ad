// What:   room for the tokens that a sequence has; whatever it puts out it takes as it goes.
// Source: vLLM (Kwon et al., SOSP 2023, section 4.3).
// Facts:  prompt, output_tokens. Cost: none.
// Good:   most sequences at once, where pages come one by one and a preemption costs little.
// Loses:  when many grow at the same time: some are preempted, and compute their tokens again.
#include "quire/policies/admission.h"

namespace quire {
namespace {

class Now final : public AdmissionPolicy {
 public:
  int64_t RoomFor(const SequenceFacts& sequence, int64_t) const override {
    return std::ssize(sequence.prompt) + sequence.output_tokens;
  }
};

}  // namespace

extern const AdmissionRow kNowAdmission{
    .name = "now",
    .summary = "room for the tokens that there are; output takes its own as it comes",
    .params = {},
    .make = [](const PolicyParams&) -> std::unique_ptr<AdmissionPolicy> { return std::make_unique<Now>(); }};

}  // namespace quire

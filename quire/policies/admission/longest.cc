// What:   room for the longest sequence that there may be, for everybody.
// Source: what servers did before paging, and the baseline of S^3 (Jin et al., NeurIPS 2023, section 2).
// Facts:  none. Cost: none.
// Good:   nobody is ever preempted for want of room.
// Loses:  nearly always: most of what it promises is never used.
#include "quire/policies/admission.h"

namespace quire {
namespace {

class Longest final : public AdmissionPolicy {
 public:
  int64_t RoomFor(const SequenceFacts&, int64_t context) const override { return context; }
};

}  // namespace

extern const AdmissionRow kLongestAdmission{
    .name = "longest",
    .summary = "room for the whole context, for everybody",
    .params = {},
    .make = [](const PolicyParams&) -> std::unique_ptr<AdmissionPolicy> {
      return std::make_unique<Longest>();
    }};

}  // namespace quire

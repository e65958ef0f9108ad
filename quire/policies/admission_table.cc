#include "quire/policies/admission.h"

namespace quire {

extern const AdmissionRow kLongestAdmission;
extern const AdmissionRow kNowAdmission;
extern const AdmissionRow kPredictedAdmission;

namespace {
constexpr const AdmissionRow* kTable[] = {&kLongestAdmission, &kNowAdmission, &kPredictedAdmission};
}  // namespace

std::span<const AdmissionRow* const> AdmissionTable() { return kTable; }

Result<std::unique_ptr<AdmissionPolicy>> MakeAdmissionPolicy(std::string_view spec) {
  return MakePolicy<AdmissionPolicy, AdmissionRow>(spec, "admission", kTable);
}

}  // namespace quire

// The admission family: for how many tokens a sequence must find room before it comes in. What it takes
// beyond that it takes while it runs, and when there is none, the last in the scheduling order is preempted.
//
// To add one: a file in admission/ that defines its AdmissionRow, a line in admission_table.cc, a line in
// CMakeLists.txt.
#ifndef QUIRE_POLICIES_ADMISSION_H_
#define QUIRE_POLICIES_ADMISSION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "quire/base/result.h"
#include "quire/policies/policy_spec.h"
#include "quire/policies/scheduling.h"

namespace quire {

class AdmissionPolicy {
 public:
  virtual ~AdmissionPolicy() = default;
  // Tokens, prompt and output, that the sequence is to have room for; `context` is the most that any may
  // have. Asked for who waits and, as to what is still to come, for who runs.
  virtual int64_t RoomFor(const SequenceFacts& sequence, int64_t context) const = 0;
  // A sequence ended, with its final facts: for policies that learn.
  virtual void Finished(const SequenceFacts& sequence) {}
};

struct AdmissionRow {
  std::string_view name;
  std::string_view summary;
  std::span<const PolicyParam> params;
  std::unique_ptr<AdmissionPolicy> (*make)(const PolicyParams& params);
};

// All rows, sorted by name.
std::span<const AdmissionRow* const> AdmissionTable();

// Makes the policy that `spec` names. Errors: kInvalidArgument, naming the known ones.
Result<std::unique_ptr<AdmissionPolicy>> MakeAdmissionPolicy(std::string_view spec);

}  // namespace quire

#endif  // QUIRE_POLICIES_ADMISSION_H_

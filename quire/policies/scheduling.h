// The scheduling family: who runs next, who is served first when a step's tokens and pages are short, and
// who gives way. A policy sees facts and returns an order; the engine's scheduler carries it out.
//
// To add one: a file in scheduling/ that defines its SchedulingRow, a line in scheduling_table.cc, a line in
// CMakeLists.txt. The flag, the listing and the contract test come with the row.
#ifndef QUIRE_POLICIES_SCHEDULING_H_
#define QUIRE_POLICIES_SCHEDULING_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/token.h"
#include "quire/policies/policy_spec.h"

namespace quire {

// What a policy may know about a sequence.
struct SequenceFacts {
  uint64_t id = 0;       // its own for as long as the engine lives, preempted or not
  double arrival_s = 0;  // on the clock of StepBudget::now_s; earlier arrivals have smaller ids
  double session_s = 0;  // when the first request of its session arrived; its own arrival without one
  int priority = 0;      // of the request; lower is more urgent
  std::string_view tenant = {};
  std::span<const Token> prompt = {};
  int64_t output_tokens = 0;      // sampled so far
  int64_t max_output_tokens = 0;  // it ends here at the latest
  int64_t tokens_due = 0;         // tokens to compute before its next output: 1 for a plain decode
  int64_t pages_held = 0;
  int64_t pages_to_admit = 0;  // free pages that would admit it, when it waits; else that it may still take
  int preemptions = 0;
};

// What a step has to give.
struct StepBudget {
  double now_s = 0;
  int64_t tokens = 0;
  int64_t free_pages = 0;
  int64_t free_sequences = 0;  // more that may run
};

// Indices into the spans that Order was given.
struct StepOrder {
  // Every waiting sequence once, in the order of admission. Nobody overtakes one that does not fit, so large
  // requests are not starved by small ones.
  std::vector<int> waiting;
  // Every running sequence once. The first gets tokens and pages first; when pages run out, the last is
  // preempted, for one that stands before it.
  std::vector<int> running;
  // Running sequences to preempt now, before anybody is admitted. They can be admitted again next step.
  std::vector<int> give_way;
};

class SchedulingPolicy {
 public:
  virtual ~SchedulingPolicy() = default;
  // Called once a step. The order must be total and must not flip between two sequences without cause:
  // the first of it always makes progress, and that is what keeps everybody from starving.
  virtual StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                          const StepBudget& budget) = 0;
  // A sequence ended, with its final facts: for policies that learn or keep accounts.
  virtual void Finished(const SequenceFacts& sequence) {}
};

struct SchedulingRow {
  std::string_view name;
  std::string_view summary;
  std::span<const PolicyParam> params;
  std::unique_ptr<SchedulingPolicy> (*make)(const PolicyParams& params);
};

// All rows, sorted by name.
std::span<const SchedulingRow* const> SchedulingTable();

// Makes the policy that `spec` names ("priority:age_s=30"). Errors: kInvalidArgument, naming the known ones.
Result<std::unique_ptr<SchedulingPolicy>> MakeSchedulingPolicy(std::string_view spec);

}  // namespace quire

#endif  // QUIRE_POLICIES_SCHEDULING_H_

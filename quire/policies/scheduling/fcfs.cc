// What:   first come, first served; whoever came last is preempted first.
// Source: the order of Orca (Yu et al., OSDI 2022) and vLLM's default.
// Facts:  id. Cost: one sort a step.
// Good:   fair and predictable; nobody starves, because the oldest always runs.
// Loses:  a long request ahead delays every short one behind it.
#include "quire/policies/scheduling/ordering.h"

namespace quire {
namespace {

class Fcfs final : public SchedulingPolicy {
 public:
  StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                  const StepBudget&) override {
    return {.waiting = ByArrival(waiting), .running = ByArrival(running), .give_way = {}};
  }
};

}  // namespace

extern const SchedulingRow kFcfsScheduling{
    .name = "fcfs",
    .summary = "first come, first served",
    .params = {},
    .make = [](const PolicyParams&) -> std::unique_ptr<SchedulingPolicy> {
      return std::make_unique<Fcfs>();
    }};

}  // namespace quire

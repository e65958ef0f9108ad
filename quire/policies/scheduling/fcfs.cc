// What:   first come, first served; whoever came last is preempted first.
// Source: the order of Orca (Yu et al., OSDI 2022) and vLLM's default.
// Facts:  id. Cost: one sort a step.
// Good:   fair and predictable; nobody starves, because the oldest always runs.
// Loses:  a long request ahead delays every short one behind it.
#include <algorithm>
#include <numeric>

#include "quire/policies/scheduling.h"

namespace quire {
namespace {

std::vector<int> ByArrival(std::span<const SequenceFacts> facts) {
  std::vector<int> order(facts.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int i) { return facts[i].id; });
  return order;
}

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

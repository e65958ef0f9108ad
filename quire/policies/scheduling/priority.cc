// What:   lower priority numbers first, then first come; waiting makes up for priority, so nobody starves.
// Source: vLLM's "priority" policy, with the ageing of classic operating-system schedulers.
// Facts:  id, arrival_s, priority; with preempt=1 also pages. Cost: one sort a step.
// Good:   interactive requests beside batch work.
// Loses:  among equals it is fcfs; with preempt=1 the work of the preempted is done again.
#include <utility>

#include "quire/policies/scheduling/ordering.h"

namespace quire {
namespace {

class Priority final : public SchedulingPolicy {
 public:
  Priority(double age_s, bool preempt) : age_s_(age_s), preempt_(preempt) {}

  StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                  const StepBudget& budget) override {
    const auto key = [&](const SequenceFacts& f) { return Key(f); };
    StepOrder order{.waiting = SortedBy(waiting, key), .running = SortedBy(running, key), .give_way = {}};
    if (!preempt_ || order.waiting.empty()) return order;
    const SequenceFacts& next = waiting[order.waiting[0]];
    order.give_way = MakeRoom(next, running, order.running, budget, [&](const SequenceFacts& f) {
      return f.priority > next.priority && Key(f) > Key(next);
    });
    return order;
  }

 private:
  // One level of priority is worth age_s seconds of waiting. Everybody ages alike, so the key is constant
  // and the order of two sequences never changes.
  std::pair<double, uint64_t> Key(const SequenceFacts& facts) const {
    return {facts.arrival_s + age_s_ * facts.priority, facts.id};
  }

  const double age_s_;
  const bool preempt_;
};

constexpr PolicyParam kParams[] = {
    {"age_s", 60, 0, 1e9, "seconds of waiting that outweigh one level of priority"},
    {"preempt", 0, 0, 1, "1: a more urgent request takes the place of running ones"},
};

}  // namespace

extern const SchedulingRow kPriorityScheduling{
    .name = "priority",
    .summary = "lower priority numbers first; waiting requests age",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<SchedulingPolicy> {
      return std::make_unique<Priority>(params["age_s"], params["preempt"] != 0);
    }};

}  // namespace quire

// What:   lower priority numbers first, then first come; waiting makes up for priority, so nobody starves.
// Source: vLLM's "priority" policy, with the ageing of classic operating-system schedulers.
// Facts:  id, arrival_s, priority; with preempt=1 also pages. Cost: one sort a step.
// Good:   interactive requests beside batch work.
// Loses:  among equals it is fcfs; with preempt=1 the work of the preempted is done again.
#include <algorithm>
#include <numeric>
#include <utility>

#include "quire/policies/scheduling.h"

namespace quire {
namespace {

class Priority final : public SchedulingPolicy {
 public:
  Priority(double age_s, bool preempt) : age_s_(age_s), preempt_(preempt) {}

  StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                  const StepBudget& budget) override {
    StepOrder order{.waiting = Sorted(waiting), .running = Sorted(running), .give_way = {}};
    if (preempt_ && !order.waiting.empty()) {
      order.give_way = MakeRoom(waiting[order.waiting[0]], running, order.running, budget);
    }
    return order;
  }

 private:
  // One level of priority is worth age_s seconds of waiting. Everybody ages alike, so the key is constant
  // and the order of two sequences never changes.
  std::pair<double, uint64_t> Key(const SequenceFacts& facts) const {
    return {facts.arrival_s + age_s_ * facts.priority, facts.id};
  }

  std::vector<int> Sorted(std::span<const SequenceFacts> facts) const {
    std::vector<int> order(facts.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, {}, [&](int i) { return Key(facts[i]); });
    return order;
  }

  // The fewest of the least urgent running sequences that make room for `next`; none if they cannot.
  std::vector<int> MakeRoom(const SequenceFacts& next, std::span<const SequenceFacts> running,
                            const std::vector<int>& order, const StepBudget& budget) const {
    std::vector<int> give_way;
    int64_t pages = budget.free_pages, sequences = budget.free_sequences;
    const auto fits = [&] { return sequences > 0 && pages >= next.pages_to_admit; };
    for (auto it = order.rbegin(); it != order.rend() && !fits(); ++it) {
      const SequenceFacts& last = running[*it];
      if (last.priority <= next.priority || Key(last) < Key(next)) break;
      give_way.push_back(*it);
      pages += last.pages_held;
      ++sequences;
    }
    if (!fits()) give_way.clear();
    return give_way;
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

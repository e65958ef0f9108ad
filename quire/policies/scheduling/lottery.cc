// What:   every period a new draw decides who runs; a level of priority more doubles the odds.
// Source: lottery scheduling (Waldspurger and Weihl, OSDI 1994, 2), all winners drawn at once; as "random
//         priorities" it is also the load of FastSwitch (Shen et al., 2024, 5).
// Facts:  id, priority, pages, time. Cost: one sort a step.
// Good:   shares in proportion among equals who never end; and to measure what preemption costs.
// Loses:  whoever loses a draw is preempted, so everybody ends later than with fcfs.
#include <cmath>
#include <utility>

#include "quire/base/split_mix.h"
#include "quire/policies/scheduling/ordering.h"

namespace quire {
namespace {

class Lottery final : public SchedulingPolicy {
 public:
  explicit Lottery(double period_s) : period_s_(period_s) {}

  StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                  const StepBudget& budget) override {
    const auto draw = static_cast<uint64_t>(std::floor(budget.now_s / period_s_));
    const auto key = [&](const SequenceFacts& facts) { return Key(facts, draw); };
    StepOrder order{.waiting = SortedBy(waiting, key), .running = SortedBy(running, key), .give_way = {}};
    if (order.waiting.empty()) return order;
    const SequenceFacts& next = waiting[order.waiting[0]];
    order.give_way = MakeRoom(next, running, order.running, budget,
                              [&](const SequenceFacts& facts) { return Key(facts, draw) > Key(next, draw); });
    return order;
  }

 private:
  // The smallest of exponential times with rates 2^-priority wins with odds in proportion to the rates.
  static std::pair<double, uint64_t> Key(const SequenceFacts& facts, uint64_t draw) {
    const double u = UnitInterval(SplitMix(SplitMix(draw) ^ facts.id));
    return {-std::log(1 - u) * std::exp2(facts.priority), facts.id};
  }

  const double period_s_;
};

constexpr PolicyParam kParams[] = {
    {"period_s", 1, 0.001, 1e6, "seconds between two draws"},
};

}  // namespace

extern const SchedulingRow kLotteryScheduling{
    .name = "lottery",
    .summary = "a draw every period decides who runs",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<SchedulingPolicy> {
      return std::make_unique<Lottery>(params["period_s"]);
    }};

}  // namespace quire

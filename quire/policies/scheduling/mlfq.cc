// What:   whoever has had little service runs first and takes the place of those who have had much; service
//         sinks a sequence through levels of doubling size, a long prompt starts it lower, waiting lifts it.
//         Who gives way has first generated as much as it costs to compute it again.
// Source: skip-join multi-level feedback queue of FastServe (Wu et al., 2023, section 4.1).
// Facts:  id, arrival_s, prompt, output_tokens, pages. Cost: one sort a step.
// Good:   short answers overtake long ones without anybody knowing their lengths.
// Loses:  where all answers are alike it preempts for nothing, and what is preempted may be computed again.
#include <cmath>
#include <unordered_map>
#include <utility>

#include "quire/policies/scheduling/ordering.h"

namespace quire {
namespace {

class Mlfq final : public SchedulingPolicy {
 public:
  Mlfq(double quantum, double prompt_cost, double age_s, double payback)
      : quantum_(quantum), prompt_cost_(prompt_cost), age_s_(age_s), payback_(payback) {}

  StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                  const StepBudget& budget) override {
    for (const SequenceFacts& f : running) lives_[f.id].waits_since = -1;
    for (const SequenceFacts& f : waiting) Age(f, budget.now_s);
    const auto key = [&](const SequenceFacts& f) { return std::pair(Level(f), f.id); };
    StepOrder order{.waiting = SortedBy(waiting, key), .running = SortedBy(running, key), .give_way = {}};
    if (order.waiting.empty()) return order;
    const SequenceFacts& next = waiting[order.waiting[0]];
    order.give_way = MakeRoom(next, running, order.running, budget,
                              [&](const SequenceFacts& f) { return Level(f) > Level(next) && HasPaid(f); });
    return order;
  }

  void Finished(const SequenceFacts& sequence) override { lives_.erase(sequence.id); }

 private:
  struct Life {
    double waits_since = -1;  // negative: it runs
    double forgiven = 0;      // service that no longer counts
    int64_t had = 0;          // tokens of output when it came in
  };

  double Service(const SequenceFacts& f) const {
    return prompt_cost_ * static_cast<double>(f.prompt.size()) + static_cast<double>(f.output_tokens);
  }

  // A sequence that has waited for age_s begins again at the top.
  void Age(const SequenceFacts& f, double now_s) {
    Life& life = lives_[f.id];
    life.had = f.output_tokens;
    if (life.waits_since < 0) life.waits_since = now_s;
    if (now_s - life.waits_since < age_s_) return;
    life.forgiven = Service(f);
    life.waits_since = now_s;
  }

  // A sequence that gives way is computed again later. It does so only after it has generated as much, times
  // payback, so that all computing again is a bounded share of the work.
  bool HasPaid(const SequenceFacts& f) const {
    const auto life = lives_.find(f.id);
    const auto generated =
        static_cast<double>(f.output_tokens - (life == lives_.end() ? 0 : life->second.had));
    const auto again = static_cast<double>(std::ssize(f.prompt) + f.output_tokens);
    return generated >= payback_ * prompt_cost_ * again;
  }

  // Level k takes service up to quantum * 2^k.
  int Level(const SequenceFacts& f) const {
    const auto life = lives_.find(f.id);
    const double service = Service(f) - (life == lives_.end() ? 0 : life->second.forgiven);
    return service <= quantum_ ? 0 : static_cast<int>(std::ceil(std::log2(service / quantum_)));
  }

  const double quantum_, prompt_cost_, age_s_, payback_;
  std::unordered_map<uint64_t, Life> lives_;  // by sequence
};

constexpr PolicyParam kParams[] = {
    {"quantum", 32, 1, 1e6, "tokens of service on the highest level; each level below has twice as many"},
    {"prompt_cost", 0.6, 0, 1, "what a token of prompt costs in tokens of output"},
    {"payback", 1, 0, 1e6, "generated tokens, by the cost of computing them again, before it gives way"},
    {"age_s", 30, 0.001, 1e9, "seconds of waiting after which a sequence begins again at the top"},
};

}  // namespace

extern const SchedulingRow kMlfqScheduling{
    .name = "mlfq",
    .summary = "little service first, taking turns on levels of doubling size",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<SchedulingPolicy> {
      return std::make_unique<Mlfq>(params["quantum"], params["prompt_cost"], params["age_s"],
                                    params["payback"]);
    }};

}  // namespace quire

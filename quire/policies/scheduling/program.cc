// What:   first come, first served by program: a request is as old as the first request of its session.
// Source: program-level FCFS of Continuum (Li et al., 2025) and Autellix (Luo et al., 2025).
// Facts:  session_s, arrival_s, id. Cost: one sort a step.
// Good:   agents of many short requests: who has begun is finished before others begin.
// Loses:  a newcomer waits behind every request of older programs; the head start is therefore bounded.
#include <algorithm>
#include <utility>

#include "quire/policies/scheduling/ordering.h"

namespace quire {
namespace {

class Program final : public SchedulingPolicy {
 public:
  explicit Program(double head_start_s) : head_start_s_(head_start_s) {}

  StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                  const StepBudget&) override {
    const auto key = [&](const SequenceFacts& f) {
      return std::pair(std::max(f.session_s, f.arrival_s - head_start_s_), f.id);
    };
    return {.waiting = SortedBy(waiting, key), .running = SortedBy(running, key), .give_way = {}};
  }

 private:
  const double head_start_s_;
};

constexpr PolicyParam kParams[] = {
    {"head_start_s", 600, 0, 1e9,
     "seconds before its own arrival that a request's program counts from at most"},
};

}  // namespace

extern const SchedulingRow kProgramScheduling{
    .name = "program",
    .summary = "first come, first served by program: by the first request of a session",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<SchedulingPolicy> {
      return std::make_unique<Program>(params["head_start_s"]);
    }};

}  // namespace quire

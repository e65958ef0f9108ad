#include "quire/policies/scheduling.h"

namespace quire {

extern const SchedulingRow kFairScheduling;
extern const SchedulingRow kFcfsScheduling;
extern const SchedulingRow kLotteryScheduling;
extern const SchedulingRow kMlfqScheduling;
extern const SchedulingRow kOfflineScheduling;
extern const SchedulingRow kPriorityScheduling;
extern const SchedulingRow kProgramScheduling;
extern const SchedulingRow kShortestFirstScheduling;

namespace {
constexpr const SchedulingRow* kTable[] = {
    &kFairScheduling,    &kFcfsScheduling,     &kLotteryScheduling, &kMlfqScheduling,
    &kOfflineScheduling, &kPriorityScheduling, &kProgramScheduling, &kShortestFirstScheduling,
};
}  // namespace

std::span<const SchedulingRow* const> SchedulingTable() { return kTable; }

Result<std::unique_ptr<SchedulingPolicy>> MakeSchedulingPolicy(std::string_view spec) {
  return MakePolicy<SchedulingPolicy, SchedulingRow>(spec, "scheduling", kTable);
}

}  // namespace quire

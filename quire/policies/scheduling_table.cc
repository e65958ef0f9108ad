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
  QUIRE_ASSIGN(const PolicySpec parsed, ParsePolicySpec(spec, "scheduling"));
  std::vector<std::string_view> names;
  for (const SchedulingRow* row : kTable) {
    names.push_back(row->name);
    if (row->name != parsed.name) continue;
    QUIRE_ASSIGN(const PolicyParams params, PolicyParams::Bind(parsed, row->params));
    return row->make(params);
  }
  return Fail(ErrorCode::kInvalidArgument, "there is no scheduling policy '{}'; use one of: {}", parsed.name,
              JoinNames(names));
}

}  // namespace quire

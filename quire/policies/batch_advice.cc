#include "quire/policies/batch_advice.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace quire {
namespace {

constexpr int64_t kGrowth = 4;  // of batches, while throughput still grows
// Times the throughput, for that growth. 0.97 (BatchGoal::share) of where it stops is 0.95 of the next batch.
constexpr double kStillGrows = 1.02;
constexpr double kFineEnough = 1.5;  // between the measured batches around the choice

bool Keeps(const BatchTime& time, const BatchGoal& goal) {
  return goal.step_s == 0 || time.step_s <= goal.step_s;
}

double StepAt(std::span<const BatchTime> measured, int64_t batch) {
  const auto next = std::ranges::lower_bound(measured, batch, {}, &BatchTime::batch);
  if (next->batch == batch) return next->step_s;
  const auto before = std::prev(next);
  return std::lerp(
      before->step_s, next->step_s,
      static_cast<double>(batch - before->batch) / static_cast<double>(next->batch - before->batch));
}

}  // namespace

BatchAdvice AdviseBatch(std::span<const BatchTime> measured, const BatchGoal& goal) {
  BatchAdvice advice{.choice = measured.front(), .peak = measured.front()};
  for (const BatchTime& time : measured) {
    if (Keeps(time, goal) && time.tokens_per_s() > advice.peak.tokens_per_s()) advice.peak = time;
  }
  for (int64_t batch = measured.front().batch; batch <= advice.peak.batch; ++batch) {
    const BatchTime time{batch, StepAt(measured, batch)};
    if (!Keeps(time, goal)) continue;
    advice.choice = time;
    if (time.tokens_per_s() >= goal.share * advice.peak.tokens_per_s()) break;
  }
  return advice;
}

std::optional<int64_t> NextBatch(std::span<const BatchTime> measured, const BatchGoal& goal) {
  if (measured.empty()) return 1;
  const BatchTime& last = measured.back();
  const bool grows = measured.size() < 2 ||
                     last.tokens_per_s() >= kStillGrows * measured[measured.size() - 2].tokens_per_s();
  if (last.batch < goal.most && grows && Keeps(last, goal)) return std::min(goal.most, last.batch * kGrowth);
  // Then between the neighbours of the choice, and of where the goal is missed.
  const int64_t choice = AdviseBatch(measured, goal).choice.batch;
  for (size_t i = 1; i < measured.size(); ++i) {
    const int64_t low = measured[i - 1].batch, high = measured[i].batch;
    const bool around = low <= choice && choice <= high;
    const bool wide = static_cast<double>(high) > kFineEnough * static_cast<double>(low) && high - low > 1;
    if (around && wide) {
      return std::clamp<int64_t>(std::llround(std::sqrt(static_cast<double>(low * high))), low + 1, high - 1);
    }
  }
  return std::nullopt;
}

}  // namespace quire

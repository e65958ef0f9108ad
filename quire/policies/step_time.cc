#include "quire/policies/step_time.h"

#include <algorithm>
#include <numeric>

namespace quire {
namespace {

constexpr int64_t kFirstChunk = 64;      // while tokens are not told apart
constexpr double kTokens = 1.0 / 256;    // facts of usual steps are about one,
constexpr double kLogits = 1.0 / 16;     // so that they weigh alike
constexpr double kAttended = 1.0 / 1e6;  // in the fit

}  // namespace

void StepWork::Add(int64_t position, int64_t n, bool with_logits) {
  tokens += n;
  logits += with_logits;
  attended += n * position + n * (n + 1) / 2;
}

StepTime::Fit::Facts StepTime::FactsOf(const StepWork& work) {
  return {1, static_cast<double>(work.tokens) * kTokens, static_cast<double>(work.logits) * kLogits,
          static_cast<double>(work.attended) * kAttended};
}

void StepTime::Learn(const StepWork& work, double seconds) {
  seconds_.Learn(FactsOf(work), seconds);
  least_ = std::min(least_, work.tokens_without_logits());
  most_ = std::max(most_, work.tokens_without_logits());
}

double StepTime::Seconds(const StepWork& work) const { return seconds_.Predict(FactsOf(work)); }

bool StepTime::TellsTokensApart() const {
  return most_ / kSpread >= std::max<int64_t>(1, least_) &&
         Seconds({.tokens = kSpread}) > Seconds({.tokens = 1});
}

// A step takes no longer than steps of fewer tokens that compute the same one after the other.
int64_t StepTime::CautiousChunk(double goal_s, const StepWork& work) const {
  double chunk = kFirstChunk;
  if (const double step_s = Seconds(work); step_s > 0) {
    chunk = std::clamp(static_cast<double>(work.logits) * (goal_s / step_s - 1), 0.0, chunk);
  }
  return std::max<int64_t>(0, static_cast<int64_t>(chunk) - work.tokens_without_logits());
}

int64_t StepTime::ChunkWithin(double goal_s, const StepWork& work, int64_t position, int64_t most) const {
  if (!TellsTokensApart()) return std::min(most, CautiousChunk(goal_s, work));
  int64_t fits = 0, too_many = most + 1;
  while (fits + 1 < too_many) {
    const int64_t n = std::midpoint(fits, too_many);
    StepWork with = work;
    with.Add(position, n, false);
    (Seconds(with) <= goal_s ? fits : too_many) = n;
  }
  return fits;
}

}  // namespace quire

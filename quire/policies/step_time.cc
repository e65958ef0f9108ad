#include "quire/policies/step_time.h"

#include <algorithm>
#include <numeric>

namespace quire {
namespace {

constexpr int64_t kFirstChunk = 64;      // while nothing is known
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
  least_tokens_ = std::min(least_tokens_, work.tokens);
  most_tokens_ = std::max(most_tokens_, work.tokens);
}

double StepTime::Seconds(const StepWork& work) const { return seconds_.Predict(FactsOf(work)); }

bool StepTime::TellsTokensApart() const {
  return most_tokens_ / kSpread >= least_tokens_ && Seconds({.tokens = kSpread}) > Seconds({.tokens = 1});
}

int64_t StepTime::ChunkWithin(double goal_s, const StepWork& work, int64_t position, int64_t most) const {
  if (!seconds_.learned()) return std::min(most, kFirstChunk);
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

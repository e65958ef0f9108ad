#include "quire/policies/step_time.h"

#include <algorithm>
#include <numeric>

namespace quire {
namespace {

constexpr double kMemory = 0.96;         // weight of a step once the next one is learned: about 25 count
constexpr int kSweeps = 50;              // each is 16 multiplications
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

StepTime::Facts StepTime::FactsOf(const StepWork& work) {
  return {1, static_cast<double>(work.tokens) * kTokens, static_cast<double>(work.logits) * kLogits,
          static_cast<double>(work.attended) * kAttended};
}

void StepTime::Learn(const StepWork& work, double seconds) {
  const Facts facts = FactsOf(work);
  for (int i = 0; i < kFacts; ++i) {
    for (int j = 0; j < kFacts; ++j) products_[i][j] = kMemory * products_[i][j] + facts[i] * facts[j];
    moments_[i] = kMemory * moments_[i] + facts[i] * seconds;
  }
  learned_ = true;
  Fit();
}

// The least squares without negative prices (work takes time: a negative one is noise), by coordinate descent
// from the prices so far, which stay where recent steps do not tell them apart.
void StepTime::Fit() {
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (int i = 0; i < kFacts; ++i) {
      if (products_[i][i] == 0) continue;
      double unexplained = moments_[i];
      for (int j = 0; j < kFacts; ++j) {
        if (j != i) unexplained -= products_[i][j] * seconds_per_[j];
      }
      seconds_per_[i] = std::max(0.0, unexplained / products_[i][i]);
    }
  }
}

double StepTime::Seconds(const StepWork& work) const {
  const Facts facts = FactsOf(work);
  double seconds = 0;
  for (int i = 0; i < kFacts; ++i) seconds += facts[i] * seconds_per_[i];
  return seconds;
}

int64_t StepTime::ChunkWithin(double goal_s, const StepWork& work, int64_t position, int64_t most) const {
  if (!learned_) return std::min(most, kFirstChunk);
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

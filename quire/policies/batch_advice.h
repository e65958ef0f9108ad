// How many sequences should decode together: found with few measurements, because beyond some batch the
// tokens per second hardly grow while every sequence takes its KV memory and everybody waits longer. The
// smallest batch on that plateau is worth having, and the memory of the others is free for something else:
// the Batching Configuration Advisor of "Mind the Memory Gap" (Recasens et al. 2025, section 6).
#ifndef QUIRE_POLICIES_BATCH_ADVICE_H_
#define QUIRE_POLICIES_BATCH_ADVICE_H_

#include <cstdint>
#include <optional>
#include <span>

namespace quire {

// A step in which `batch` sequences decode a token each.
struct BatchTime {
  int64_t batch = 0;
  double step_s = 0;

  double tokens_per_s() const { return static_cast<double>(batch) / step_s; }
};

struct BatchGoal {
  int64_t most = 1;     // the largest batch that memory or the user allows
  double step_s = 0;    // the longest step, for the time between tokens; 0: any
  double share = 0.97;  // of the highest throughput, that is enough
};

struct BatchAdvice {
  BatchTime choice;
  BatchTime peak;  // the measured batch of the highest throughput that keeps the goal
};

// The batch to measure next, or nothing when what is measured tells enough. Begins with 1 when nothing is.
// REQUIRES: `measured` grows in batch.
std::optional<int64_t> NextBatch(std::span<const BatchTime> measured, const BatchGoal& goal);

// Between measured batches steps are taken to grow evenly. REQUIRES: something is measured. Where no batch
// keeps the goal, the smallest measured one.
BatchAdvice AdviseBatch(std::span<const BatchTime> measured, const BatchGoal& goal);

}  // namespace quire

#endif  // QUIRE_POLICIES_BATCH_ADVICE_H_

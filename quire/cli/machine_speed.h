// Measures what bounds inference on this machine: reading memory, the products and attention of the kernels
// in use with their operands in the caches and beyond, and moving pages. Everything is the fastest or the
// median of many short runs: what else runs on the machine should not count.
#ifndef QUIRE_CLI_MACHINE_SPEED_H_
#define QUIRE_CLI_MACHINE_SPEED_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "quire/base/result.h"
#include "quire/base/thread_pool.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/random_weights.h"
#include "quire/sim/machine_profile.h"

namespace quire {

// Seconds of the fastest of several calls, which take about `budget_s` in all.
double FastestSeconds(double budget_s, const std::function<void()>& call);

// Calls fn(piece, worker) for all pieces on the pool, over and over for about `budget_s`, and returns the
// seconds that a piece takes on one of the threads: the median, so that those which were interrupted do not
// count. Pieces should take some ten microseconds.
double SecondsPerPiece(ThreadPool& pool, int64_t pieces, double budget_s,
                       const std::function<void(int64_t piece, int worker)>& fn);

// What noise would make less, or nothing.
inline constexpr double kLeastSeconds = 1e-15;

// Seconds of work in proportion to a count, and what comes on top of it once.
struct TimePerCount {
  double once = 0, each = 0;

  // Tells the two apart by the seconds of a few and of many.
  static TimePerCount Of(int64_t few, double few_s, int64_t many, double many_s) {
    const double each = std::max(kLeastSeconds, (many_s - few_s) / static_cast<double>(many - few));
    return {std::max(kLeastSeconds, few_s - each * static_cast<double>(few)), each};
  }
};

// More than the caches hold: twice the largest one, as a power of two.
size_t BeyondCachesBytes();

// `progress` is told the share done. Takes seconds, and twice the memory of the largest cache. Errors:
// kResourceExhausted.
Result<MachineProfile> MeasureMachine(const KernelTable& kernels, ThreadPool& pool,
                                      const std::function<void(double)>& progress);

// The parts of it. `arena` is more than the caches hold, and full of numbers.
struct SpeedBench {
  const KernelTable& kernels;
  ThreadPool& pool;
  std::span<std::byte> arena;
  MachineProfile& profile;
  size_t taken = 0;  // parts of the arena, by TakeFromMemory

  void MeasureReading();
  void MeasureHandOver();
  void MeasureProducts(const std::function<void(double)>& progress);
  ProductSpeed MeasureProduct(DType type, ActivationForms& x);
  void MeasureElements();
  void MeasureAttention(const std::function<void(double)>& progress);

  // Calls fn once on every thread of the pool, after all of them have come.
  void RunOnEveryThread(const std::function<void(int worker)>& fn);
  // Another part of the arena each time, so that all of it is read before one part is read again.
  std::span<const std::byte> TakeFromMemory();
};

}  // namespace quire

#endif  // QUIRE_CLI_MACHINE_SPEED_H_

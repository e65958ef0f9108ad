#include "quire/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "quire/base/check.h"

// Invariant: fn_, context_, tasks_ and next_task_ are reset only while the gate is closed and nobody is
// inside, so whoever got through an open gate may read them until it leaves.

namespace quire {
namespace {

constexpr uint64_t kOpen = uint64_t{1} << 32;
constexpr uint64_t kInsideMask = kOpen - 1;
constexpr int kRegionShift = 33;

// About 50 to 100 microseconds: longer than the gap between two regions of a forward pass, far shorter than
// a scheduler's time slice.
constexpr int kSpinsBeforeSleep = 2000;
// A caller that waits for a worker gives its core away after a few microseconds: the worker may need it.
constexpr int kSpinsBeforeYield = 200;

inline void Pause() { __builtin_ia32_pause(); }

}  // namespace

ThreadPool::ThreadPool(int threads) {
  QUIRE_CHECK(threads >= 1);
  for (int worker = 1; worker < threads; ++worker)
    workers_.emplace_back([this, worker] { WorkerLoop(worker); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  bell_.fetch_add(1);
  bell_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunErased(int64_t tasks, TaskFn fn, void* context) {
  if (workers_.empty() || tasks <= 1) {
    for (int64_t task = 0; task < tasks; ++task) fn(context, task, 0);
    return;
  }
  fn_ = fn;
  context_ = context;
  tasks_ = tasks;
  next_task_.store(0, std::memory_order_relaxed);
  const uint64_t region = (gate_.load(std::memory_order_relaxed) >> kRegionShift) + 1;
  gate_.store((region << kRegionShift) | kOpen, std::memory_order_release);
  bell_.fetch_add(1);
  if (sleepers_.load() > 0) bell_.notify_all();

  TakeTasks(0);
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (int spins = 0; (gate_.load(std::memory_order_acquire) & kInsideMask) != 0; ++spins) {
    if (spins < kSpinsBeforeYield) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::TakeTasks(int worker) {
  for (;;) {
    const int64_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
    if (task >= tasks_) return;
    fn_(context_, task, worker);
  }
}

// Enters the open region unless it is the one already served; remembers it in *last_region.
bool ThreadPool::Join(uint64_t* last_region) {
  uint64_t gate = gate_.load(std::memory_order_acquire);
  while ((gate & kOpen) != 0 && (gate >> kRegionShift) != *last_region) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) {
      *last_region = gate >> kRegionShift;
      return true;
    }
  }
  return false;
}

void ThreadPool::WorkerLoop(int worker) {
  uint64_t last_region = 0;
  int idle_spins = 0;
  while (!stop_.load(std::memory_order_relaxed)) {
    if (Join(&last_region)) {
      TakeTasks(worker);
      gate_.fetch_sub(1, std::memory_order_acq_rel);
      idle_spins = 0;
      continue;
    }
    if (++idle_spins < kSpinsBeforeSleep) {
      Pause();
      continue;
    }
    sleepers_.fetch_add(1);
    const int bell = bell_.load();
    const bool region_open = (gate_.load() & kOpen) != 0 && (gate_.load() >> kRegionShift) != last_region;
    if (!region_open && !stop_.load()) bell_.wait(bell);
    sleepers_.fetch_sub(1);
    idle_spins = 0;
  }
}

int UsableProcessors() {
  cpu_set_t set;
  int processors = 1;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) processors = std::max(1, CPU_COUNT(&set));
  // cgroup v2: "quota period" in microseconds, or "max period".
  std::ifstream quota_file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (quota_file >> quota >> period && quota != "max" && period > 0) {
    const double limit = std::atof(quota.c_str()) / period;
    if (limit > 0) processors = std::min(processors, std::max(1, static_cast<int>(limit + 0.5)));
  }
  return processors;
}

}  // namespace quire

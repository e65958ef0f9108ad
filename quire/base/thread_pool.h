// A pool for short data-parallel regions: the caller and the workers take tasks 0..n-1 from a shared counter
// until none is left, and Run returns when all are done. Workers spin briefly between regions, because a
// forward pass opens a region every few microseconds, and then sleep, so an idle engine costs nothing and a
// busy core costs one time slice instead of a stall.
//
// One thread at a time may call Run. Tasks must not call Run themselves.
#ifndef QUIRE_BASE_THREAD_POOL_H_
#define QUIRE_BASE_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace quire {

class ThreadPool {
 public:
  // `threads` includes the caller of Run: ThreadPool(1) starts no thread. REQUIRES: threads >= 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls fn(task, worker) for every task in [0, tasks); worker is in [0, threads()) and no two concurrent
  // calls share it, so it can index scratch memory. Writes made by tasks are visible after Run returns.
  template <typename Fn>
  void Run(int64_t tasks, Fn&& fn) {
    using F = std::remove_reference_t<Fn>;
    RunErased(
        tasks, [](void* context, int64_t task, int worker) { (*static_cast<F*>(context))(task, worker); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

  // Calls fn(begin, end, worker) for ranges that cover [0, n) in pieces of at most `grain`.
  template <typename Fn>
  void ParallelFor(int64_t n, int64_t grain, Fn&& fn) {
    const int64_t tasks = (n + grain - 1) / grain;
    Run(tasks, [&](int64_t task, int worker) {
      const int64_t begin = task * grain;
      fn(begin, begin + grain < n ? begin + grain : n, worker);
    });
  }

 private:
  using TaskFn = void (*)(void* context, int64_t task, int worker);
  void RunErased(int64_t tasks, TaskFn fn, void* context);
  void WorkerLoop(int worker);
  void TakeTasks(int worker);
  bool Join(uint64_t* last_region);

  // The open region. Written only while no worker is inside, see gate_.
  TaskFn fn_ = nullptr;
  void* context_ = nullptr;
  int64_t tasks_ = 0;
  alignas(64) std::atomic<int64_t> next_task_{0};

  // region number (high bits) | open bit | number of workers inside. A worker enters only through an open
  // gate, so one that wakes late finds it closed and costs nothing.
  alignas(64) std::atomic<uint64_t> gate_{0};

  // Where workers sleep: bumped with every region, and to stop.
  alignas(64) std::atomic<int> bell_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

// How many threads a compute pool should have here: the processors this process may run on, at most what a
// cgroup CPU quota allows.
int UsableProcessors();

}  // namespace quire

#endif  // QUIRE_BASE_THREAD_POOL_H_

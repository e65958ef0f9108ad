#include "quire/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>

namespace quire {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  ThreadPool pool(3);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::atomic<int>> hits(1 + round % 17);
    pool.Run(static_cast<int64_t>(hits.size()), [&](int64_t task, int) { hits[task].fetch_add(1); });
    for (auto& hit : hits) ASSERT_EQ(hit.load(), 1);
  }
}

TEST(ThreadPool, PlainWritesAreVisibleAfterRun) {
  ThreadPool pool(4);
  std::vector<int64_t> squares(1000);
  for (int round = 0; round < 200; ++round) {
    pool.ParallelFor(1000, 7, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) squares[i] = i * round;
    });
    ASSERT_EQ(std::accumulate(squares.begin(), squares.end(), int64_t{0}), round * 499500);
  }
}

TEST(ThreadPool, WorkerIndexIsExclusive) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  std::atomic<bool> clash{false};
  pool.Run(500, [&](int64_t, int worker) {
    if (inside[worker].fetch_add(1) != 0) clash = true;
    inside[worker].fetch_sub(1);
  });
  EXPECT_FALSE(clash);
}

TEST(ThreadPool, WakesSleepingWorkers) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // long enough for the worker to sleep
    std::atomic<int> count{0};
    pool.Run(8, [&](int64_t, int) { count.fetch_add(1); });
    ASSERT_EQ(count.load(), 8);
  }
}

TEST(ThreadPool, UsableProcessorsIsPositive) { EXPECT_GE(UsableProcessors(), 1); }

}  // namespace
}  // namespace quire

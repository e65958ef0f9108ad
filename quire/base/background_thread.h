// A thread that does jobs one after the other, in the order in which they came. Those that are left when it
// is destroyed are not done.
#ifndef QUIRE_BASE_BACKGROUND_THREAD_H_
#define QUIRE_BASE_BACKGROUND_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace quire {

class BackgroundThread {
 public:
  using Ticket = int64_t;  // of a job; later ones are larger, and 0 is nobody's

  BackgroundThread() : thread_([this](const std::stop_token& stop) { Work(stop); }) {}

  // All are thread-safe.
  Ticket Run(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
    return ++given_;
  }
  bool Done(Ticket ticket) const { return done_.load(std::memory_order_acquire) >= ticket; }
  // Not for jobs.
  void Wait(Ticket ticket) {
    if (Done(ticket)) return;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return Done(ticket); });
  }

 private:
  void Work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return !jobs_.empty(); }) && !stop.stop_requested()) {
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
      done_.fetch_add(1, std::memory_order_release);
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> jobs_;
  Ticket given_ = 0;
  std::atomic<Ticket> done_ = 0;
  std::jthread thread_;  // the last member: it uses the others
};

}  // namespace quire

#endif  // QUIRE_BASE_BACKGROUND_THREAD_H_

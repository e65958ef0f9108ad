// What one thread has for another: any thread puts, one takes, and waits where there is nothing.
#ifndef QUIRE_BASE_WAITING_QUEUE_H_
#define QUIRE_BASE_WAITING_QUEUE_H_

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace quire {

template <typename T>
class WaitingQueue {
 public:
  void Put(T item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    arrived_.notify_one();
  }
  // The oldest item, or nothing after `seconds`.
  std::optional<T> Take(double seconds) {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return !items_.empty(); })) {
      return std::nullopt;
    }
    std::optional<T> item = std::move(items_.front());
    items_.pop_front();
    return item;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<T> items_;
};

}  // namespace quire

#endif  // QUIRE_BASE_WAITING_QUEUE_H_

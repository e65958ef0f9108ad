// The one way into the engine thread: any thread puts requests and cancellations, the engine thread takes
// them all at once between two steps and sleeps here when it has nothing to do.
#ifndef QUIRE_ENGINE_INBOX_H_
#define QUIRE_ENGINE_INBOX_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "quire/base/result.h"
#include "quire/engine/sequence.h"

namespace quire {

class Inbox {
 public:
  struct Mail {
    std::vector<std::shared_ptr<LiveRequest>> arrivals;
    std::vector<uint64_t> cancels;
    std::vector<std::function<void()>> questions;
    bool stop = false;
    bool empty() const { return arrivals.empty() && cancels.empty() && questions.empty() && !stop; }
  };

  explicit Inbox(int64_t max_queue) : max_queue_(max_queue) {}

  // Numbers the request in the order of arrival. Errors: kResourceExhausted when max_queue requests wait to
  // run, kUnavailable after Close.
  Result<uint64_t> Put(std::shared_ptr<LiveRequest> request) {
    const std::lock_guard lock(mutex_);
    if (closed_)
      return Fail(ErrorCode::kUnavailable, "the engine is shutting down and takes no new requests");
    if (queued_ >= max_queue_) {
      return Fail(ErrorCode::kResourceExhausted,
                  "{} requests wait already, as many as the queue holds; try later", queued_);
    }
    ++queued_;
    ++live_;
    request->id = next_id_++;
    const uint64_t id = request->id;
    mail_.arrivals.push_back(std::move(request));
    wake_.notify_one();
    return id;
  }

  void Cancel(uint64_t id) {
    const std::lock_guard lock(mutex_);
    mail_.cancels.push_back(id);
    wake_.notify_one();
  }

  // Calls `question` on the engine thread; false, and never, after Stop.
  bool Ask(std::function<void()> question) {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    mail_.questions.push_back(std::move(question));
    wake_.notify_one();
    return true;
  }

  // Takes no new requests from now on.
  void Close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }

  void Stop() {
    const std::lock_guard lock(mutex_);
    closed_ = stopped_ = true;
    mail_.stop = true;
    wake_.notify_one();
  }

  // Waits until every request that was put is done.
  void WaitUntilDone() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return live_ == 0; });
  }

  // For the engine thread:
  Mail Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(mail_, Mail{});
  }
  void WaitForMail() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return !mail_.empty(); });
  }
  // A request began to run, or ended before.
  void LeftQueue() {
    const std::lock_guard lock(mutex_);
    --queued_;
  }
  void Done() {
    const std::lock_guard lock(mutex_);
    if (--live_ == 0) done_.notify_all();
  }

 private:
  const int64_t max_queue_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Mail mail_;
  uint64_t next_id_ = 1;
  int64_t queued_ = 0;  // put, and never ran
  int64_t live_ = 0;    // put, and not done
  bool closed_ = false;
  bool stopped_ = false;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_INBOX_H_

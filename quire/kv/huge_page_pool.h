// Huge pages of main memory that nobody uses: those that sequences left, and a few that a thread of its own
// takes from the system ahead of need, which has to clear them. Whoever needs one has it moved to where it
// wants it, which takes microseconds (vAttention, Prabhu et al. 2024, section 6).
//
// One owner.
#ifndef QUIRE_KV_HUGE_PAGE_POOL_H_
#define QUIRE_KV_HUGE_PAGE_POOL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/background_thread.h"
#include "quire/base/result.h"

namespace quire {

class HugePagePool {
 public:
  // Of at most `most` pages; it holds none before the first Limit, and keeps up to `spares` ready by itself.
  // The thread takes them; it has stopped when the pool is destroyed. Errors: kResourceExhausted.
  static Result<std::unique_ptr<HugePagePool>> Create(int64_t most, int64_t spares, BackgroundThread& thread);

  // Moves a page to `begin` in the buffer, with the first `keep` bytes of what is there in it. False when
  // there is none, or the system cannot; then nothing changed.
  bool Take(AlignedBuffer& buffer, size_t begin, size_t keep = 0);
  // Moves the page at `from` in here. False when there is no room, or the system cannot.
  bool Put(std::byte* from);
  // From now on there are at most `pages`; those beyond go back to the system.
  void Limit(int64_t pages);

  // With those that are just being taken from the system.
  int64_t bytes() const;

 private:
  HugePagePool(AlignedBuffer memory, int64_t most, int64_t spares, BackgroundThread& thread);
  void FillUp();
  void FillOne();

  AlignedBuffer memory_;
  const int64_t spares_;
  BackgroundThread& thread_;
  mutable std::mutex mutex_;
  std::vector<size_t> ready_, empty_;  // where in memory_ a page is, and where is room for one
  std::optional<size_t> filling_;      // where the thread is to put one
  int64_t fill_to_ = 0;
};

}  // namespace quire

#endif  // QUIRE_KV_HUGE_PAGE_POOL_H_

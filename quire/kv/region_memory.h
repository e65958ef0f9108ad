// The main memory of a contiguous arena's regions: of each, bytes [begin, end) have it. What a sequence has
// filled lies in huge pages, which attention walks through as it does through those of paged memory; its end
// in pages of the system, so that a short sequence takes no more than it needs. A long one's end is a huge
// page as well: the rest of it is a small part of the whole. Sliding regions, whose front goes back, have no
// huge pages.
#ifndef QUIRE_KV_REGION_MEMORY_H_
#define QUIRE_KV_REGION_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "quire/base/background_thread.h"
#include "quire/base/result.h"
#include "quire/kv/huge_page_pool.h"
#include "quire/kv/page_arena.h"

namespace quire {

class RegionMemory {
 public:
  // For at most `most_bytes` at once. Errors: those of HugePagePool.
  static Result<std::unique_ptr<RegionMemory>> Create(PageArena arena, int64_t most_bytes);

  const PageArena& arena() const { return arena_; }
  int64_t regions() const { return static_cast<int64_t>(spans_.size()); }
  // A region without main memory. False when there is none. Close takes all its memory back, in the
  // background.
  bool Open(int64_t* region, bool sliding);
  void Close(int64_t region);

  // Where the main memory of a region begins and ends that has it for the bytes in between.
  int64_t BeginAt(int64_t byte) const;
  int64_t EndAt(int64_t byte, bool sliding) const;
  int64_t end(int64_t region) const { return spans_[region].end; }

  // Memory up to `end`. With `gather`, what the pages of the system hold of a huge page that it fills goes
  // into one at once, by copying; else the system may do that in its own time.
  void Extend(int64_t region, int64_t end, bool gather);
  // The same, in the background: Extend waits for it.
  void ExtendAhead(int64_t region, int64_t end);
  void TrimFront(int64_t region, int64_t begin);  // REQUIRES: it slides
  void TrimBack(int64_t region, int64_t end);

  // Waits until nothing goes on in the background for regions.
  void Settle();
  // Of the regions, and of huge pages that wait for the next one; at most as many as fit into `bytes`.
  int64_t committed() const { return committed_ + leaving_.load(std::memory_order_relaxed); }
  int64_t waiting() const { return pool_->bytes(); }
  void LimitWaiting(int64_t bytes) { pool_->Limit(bytes / kBlock); }

 private:
  explicit RegionMemory(PageArena arena)
      : arena_(std::move(arena)), thread_(std::make_unique<BackgroundThread>()) {}
  static constexpr auto kBlock = static_cast<int64_t>(kHugePageBytes);

  struct Span {
    bool sliding = false;
    int64_t begin = 0, end = 0;
    BackgroundThread::Ticket ahead = 0;  // the last that gives it memory
    std::vector<bool> huge = {};         // by block from the region's begin
  };

  struct Leaving {
    int64_t region;
    BackgroundThread::Ticket ticket;
  };

  int64_t page_bytes() const { return static_cast<int64_t>(arena_.page_bytes()); }
  int64_t At(int64_t region, int64_t byte) const {
    return region * arena_.region_pages() * page_bytes() + byte;
  }
  bool TakeBlock(int64_t region, int64_t block, bool gather);
  void GiveBack(int64_t region, int64_t begin, int64_t end);

  PageArena arena_;
  std::unique_ptr<HugePagePool> pool_;
  std::vector<Span> spans_;       // of the regions that were ever opened, which are the first ones
  std::vector<int64_t> closed_;   // of these
  std::deque<Leaving> to_close_;  // the first ones first
  int64_t committed_ = 0;
  std::atomic<int64_t> leaving_ = 0;  // bytes of those
  BackgroundThread::Ticket last_ = 0;
  std::unique_ptr<BackgroundThread> thread_;  // the last member: it uses the others
};

}  // namespace quire

#endif  // QUIRE_KV_REGION_MEMORY_H_

// A place below the page pool where pages wait to be needed again: slower, larger, and it may outlive the
// process. What a tier loses, for whatever cause, is absent and is computed again.
//
// Pages move in the background. Whoever starts a move leaves the bytes where they are until its completion
// has been taken. One owner: only one thread calls it.
#ifndef QUIRE_TIERS_PAGE_TIER_H_
#define QUIRE_TIERS_PAGE_TIER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "quire/policies/transfer_time.h"
#include "quire/tiers/page_key.h"

namespace quire {

// What a place has, and what was moved. Of pages and bytes as they are in the pool, but for the first three.
struct TierUsage {
  std::string_view name;  // "disk"
  int64_t pages = 0;
  int64_t bytes = 0;  // that they take there
  int64_t limit = 0;  // of bytes
  int64_t pages_written = 0;
  int64_t pages_read = 0;
  int64_t pages_failed = 0;  // that should have been written or read, and were not
  int64_t bytes_moved = 0;
  TransferTime read_time;
};

// When a page can go down.
enum class Moment {
  kPublished,  // it has just been computed
  kEvicted,    // it is about to leave the pool
};

class PageTier {
 public:
  struct Completion {
    uint64_t tag = 0;
    bool ok = false;  // the page is right; else it is absent from now on
  };
  virtual ~PageTier() = default;

  // Which of its places a read would take the page from, counted as AddUsage does; none: no read can start.
  // Takes no more than a few microseconds.
  virtual std::optional<size_t> Find(const PageKey& key) const = 0;
  bool Contains(const PageKey& key) const { return Find(key).has_value(); }
  // Whether it should have the page at this moment, and lacks it.
  virtual bool Wants(const PageKey& key, Moment moment) const = 0;
  // The page counts as used just now, where the tier looks at that.
  virtual void Touch(const PageKey& key) {}
  // Start moving a page down or up. `form` is what lies in it, as whoever made the tier counts: for tiers
  // that look into pages. False when a page that goes down is not wanted, when no more moves can be under way
  // now, or none at all for a while.
  virtual bool StartWrite(const PageKey& key, Moment moment, std::span<const std::byte> page, size_t form,
                          uint64_t tag) = 0;
  virtual bool StartRead(const PageKey& key, std::span<std::byte> page, uint64_t tag) = 0;
  // `wake` is called from any thread when moves have ended. To be called before the first move.
  virtual void SetWake(std::function<void()> wake) = 0;
  // Appends the moves that ended since the last call.
  virtual void TakeCompleted(std::vector<Completion>& completed) = 0;

  // Appends its places, the fastest first.
  virtual void AddUsage(std::vector<TierUsage>& places) const = 0;
};

}  // namespace quire

#endif  // QUIRE_TIERS_PAGE_TIER_H_

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
#include <span>
#include <vector>

#include "quire/tiers/page_key.h"

namespace quire {

struct TierUsage {
  int64_t pages = 0;
  int64_t bytes = 0;  // that they take there
  int64_t limit = 0;  // of bytes
};

class PageTier {
 public:
  struct Completion {
    uint64_t tag = 0;
    bool ok = false;  // the page is right; else it is absent from now on
  };
  virtual ~PageTier() = default;

  // Whether a read of the page can start. Takes no more than a few microseconds.
  virtual bool Contains(const PageKey& key) const = 0;
  // The page counts as used just now, where the tier looks at that.
  virtual void Touch(const PageKey& key) {}
  // Start moving a page down or up. False when no more moves can be under way now, or none at all for a
  // while.
  virtual bool StartWrite(const PageKey& key, std::span<const std::byte> page, uint64_t tag) = 0;
  virtual bool StartRead(const PageKey& key, std::span<std::byte> page, uint64_t tag) = 0;
  // `wake` is called from any thread when moves have ended. To be called before the first move.
  virtual void SetWake(std::function<void()> wake) = 0;
  // Appends the moves that ended since the last call.
  virtual void TakeCompleted(std::vector<Completion>& completed) = 0;

  virtual TierUsage Usage() const = 0;
};

}  // namespace quire

#endif  // QUIRE_TIERS_PAGE_TIER_H_

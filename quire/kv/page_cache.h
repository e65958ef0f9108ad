// The one way to page memory: finds pages that hold the beginning of a sequence already, reserves pages for
// the tokens it is about to compute, publishes what it has computed, and takes pages back. Pages are shared
// with copy on write. Running out is a verdict, not an error.
//
//   cache.Match(table, salt, tokens);                       table.tokens of them need no computing
//   cache.Reserve(table, n);                                ... compute n tokens ...
//   cache.Publish(table, salt, tokens.first(computed));     others can match them now
//   cache.Release(table, salt, tokens.first(computed));     the pages stay cached until somebody needs the
//   room
//
// Without Match, Publish and the salted Release nothing is ever cached.
//
// One owner: only the engine thread calls it.
#ifndef QUIRE_KV_PAGE_CACHE_H_
#define QUIRE_KV_PAGE_CACHE_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quire/base/token.h"
#include "quire/kv/kv_layout.h"
#include "quire/kv/page_pins.h"
#include "quire/kv/page_pool.h"
#include "quire/kv/page_table.h"
#include "quire/kv/prefix_index.h"

namespace quire {

enum class Verdict {
  kGranted,  // the pages are in the table
  kWait,     // not now: nothing changed; pages must be released first
  kNever,    // more than the whole pool
};

// How far Reserve may go.
enum class Room {
  kOfPool,     // as the pool's size says
  kBeyondPool  // further, up to the largest size there may be
};

// Where the KV bytes are. All in bytes; free + cached + used = total.
struct KvUsage {
  int64_t limit = 0;      // the size of the pool
  int64_t total = 0;      // the same, or more while used pages are more than that
  int64_t committed = 0;  // that have main memory: used, cached, and the part of free that is kept warm
  int64_t free = 0;
  int64_t cached = 0;  // in pages that only the prefix index holds: given up as soon as somebody needs them
  int64_t used = 0;    // in pages of live sequences, shared pages once
  int64_t filled = 0;  // the part of `used` that reserved tokens occupy; used - filled is waste
};

class PageCache {
 public:
  // REQUIRES: pool pages have layout.page_bytes().
  PageCache(KvLayout layout, PagePool pool);

  const KvLayout& layout() const { return layout_; }
  const PagePool& pool() const { return pool_; }
  const PrefixIndex& index() const { return index_; }
  const PagePins& pins() const { return pins_; }
  // Pages that Reserve can take: free ones, and cached ones that nobody uses.
  int64_t available_pages() const {
    return std::max<int64_t>(0, pool_.pages() - pool_.used_pages() + index_.idle_pages());
  }

  // From now on the pool's size is `kv_bytes`. What it has to give up are free and cached pages; what live
  // tables have they keep, and the pool is over its size until they are released.
  // Errors: those of PagePool::Resize.
  Status Resize(size_t kv_bytes);
  bool OverSize() const { return pool_.used_pages() > pool_.pages(); }

  // Extends the table by what is cached of `tokens` under `salt`, and returns by how many tokens; a hit may
  // end inside a page. The table may hold the beginning of `tokens` already, published or not. With sliding
  // windows the hit ends where all pages that its next token sees are there.
  int64_t Match(PageTable& table, std::string_view salt, std::span<const Token> tokens);

  // Lets others match the full pages of the table, which have been computed for `tokens`. Where somebody else
  // published the same tokens before, the table shares those pages from now on and its own are free.
  void Publish(PageTable& table, std::string_view salt, std::span<const Token> tokens);

  // A later request is likely to go on from `position`: of the sliding windows, the pages that are needed for
  // that stay cached longer than those of the way there. REQUIRES: the table was published up to there.
  void ExpectReturn(const PageTable& table, int64_t position);

  // Pins what others can match of the table's first `tokens`, whole pages, in place of the pin of that name.
  // Returns the tokens that are pinned; 0: there was no page. A pin that was not asked for holds its pages
  // back from who does not run yet: see index().held_back_pages().
  int64_t Pin(const std::string& name, const PageTable& table, int64_t tokens, PinFacts facts);
  bool YieldOldestPin(std::string_view owner, std::string_view beginning, std::string_view but) {
    return pins_.YieldOldest(index_, owner, beginning, but);
  }
  bool Unpin(const std::string& name) { return pins_.Remove(index_, name); }
  bool RenewPin(const std::string& name, double expiry_s) { return pins_.Renew(name, expiry_s); }
  void ExpirePins(double now_s) { pins_.Advance(index_, now_s); }
  void SetRetention(std::unique_ptr<RetentionPolicy> policy) { pins_.SetPolicy(std::move(policy)); }
  RetentionPolicy& retention() { return pins_.policy(); }

  // Makes positions [table.tokens, table.tokens + tokens) writable: appends pages to every group, and gives
  // the sequence its own copy of a shared page that it is about to write into. All or nothing. A granted
  // table has advanced by `tokens`.
  Verdict Reserve(PageTable& table, int64_t tokens, Room room = Room::kOfPool);

  // Returns the pages of sliding-window groups that no query at `position` or later can see.
  void TrimWindows(PageTable& table, int64_t position);

  // The table goes on without its pages [first, end) of every group, and without their tokens: what was
  // computed saw them, what comes next does not. Windows then reach further back by as much. REQUIRES: the
  // pages are full; the table was neither matched nor published, and never will be.
  void LeaveOut(PageTable& table, int64_t first, int64_t end);

  // A second sequence over the same tokens, sharing every page (parallel sampling, n > 1).
  PageTable Fork(const PageTable& table);

  // Returns all pages; the table is empty afterwards. The second publishes first, to the last of `tokens`.
  void Release(PageTable& table);
  void Release(PageTable& table, std::string_view salt, std::span<const Token> tokens);

  int64_t PagesFor(int64_t tokens, int64_t chunk_tokens) const {  // see KvLayout
    return layout_.PagesFor(tokens, chunk_tokens);
  }

  // Pages that Reserve(table, tokens) would take of the available ones.
  int64_t PagesToReserve(const PageTable& table, int64_t tokens) const;

  // From now on TakePublished returns the full pages that Publish put into the index since its last call. By
  // then some may have left again, or have another content.
  void RecordPublished() { records_published_ = true; }
  std::vector<PageId> TakePublished() { return std::exchange(published_, {}); }

  // See PrefixIndex.
  void OnLeave(std::function<void(PageId page, const PageKey& key)> leaves) {
    index_.OnLeave(std::move(leaves));
  }

  // Usage over all live tables.
  KvUsage Usage() const;

 private:
  struct Hit {
    std::vector<PrefixIndex::Step> path;  // from where the table's node ends
    int64_t tokens = 0;
  };

  int64_t PageCount(int64_t tokens) const;
  bool WritesIntoSharedPage(const PageTable& table, size_t group) const;
  Hit FindHit(const PageTable& table, PrefixNode& from, std::span<const Token> tokens) const;
  void Adopt(PageTable& table, int64_t kept_pages, const Hit& hit);
  void PublishPage(PageTable& table, PrefixNode& node, int64_t index, bool full);
  void MoveTo(PageTable& table, PrefixNode* node);
  void DisownTail(const PageTable& table);
  void GiveUp();
  bool Evict();
  void Shrink();

  PageId TakePage();
  void SharePage(PageTable& table, PageId page);
  void DropPage(PageTable& table, PageId& page);
  void DropPagesBefore(PageTable& table, size_t group, int64_t index);
  void SetFilled(PageId page, int32_t slots);

  KvLayout layout_;
  PagePool pool_;
  PagePins pins_;
  PrefixIndex index_;            // has one reference to each of its pages
  std::vector<PageId> dropped_;  // by the index, whose reference is still to be released
  std::vector<PageId> published_;
  bool records_published_ = false;
  std::vector<int32_t> filled_;  // by page: slots that hold a reserved token
  int64_t filled_slots_ = 0;     // the sum of filled_ over pages that are not idle
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_CACHE_H_

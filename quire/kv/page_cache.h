// The one way to page memory: reserves pages for the tokens a sequence is about to compute, shares them
// between forks with copy on write, and takes them back. Running out is a verdict, not an error.
//
// One owner: only the engine thread calls it.
#ifndef QUIRE_KV_PAGE_CACHE_H_
#define QUIRE_KV_PAGE_CACHE_H_

#include <cstdint>
#include <vector>

#include "quire/kv/kv_layout.h"
#include "quire/kv/page_pool.h"
#include "quire/kv/page_table.h"

namespace quire {

enum class Verdict {
  kGranted,  // the pages are in the table
  kWait,     // not now: nothing changed; pages must be released first
  kNever,    // more than the whole pool
};

// Where the KV bytes are. All in bytes.
struct KvUsage {
  int64_t total = 0;
  int64_t free = 0;
  int64_t used = 0;    // in pages of live sequences, shared pages once
  int64_t filled = 0;  // the part of `used` that reserved tokens occupy; used - filled is waste
};

class PageCache {
 public:
  // REQUIRES: pool pages have layout.page_bytes().
  PageCache(KvLayout layout, PagePool pool);

  const KvLayout& layout() const { return layout_; }
  const PagePool& pool() const { return pool_; }

  // Makes positions [table.tokens, table.tokens + tokens) writable: appends pages to every group, and gives
  // the sequence its own copy of a shared page that it is about to write into. All or nothing. A granted
  // table has advanced by `tokens`.
  Verdict Reserve(PageTable& table, int64_t tokens);

  // Returns the pages of sliding-window groups that no query at `position` or later can see.
  void TrimWindows(PageTable& table, int64_t position);

  // A second sequence over the same tokens, sharing every page (parallel sampling, n > 1).
  PageTable Fork(const PageTable& table);

  // Returns all pages; the table is empty afterwards.
  void Release(PageTable& table);

  // Pages a fresh sequence of `tokens` tokens needs at its largest moment, when prompts are computed in
  // chunks of at most `chunk_tokens`.
  int64_t PagesFor(int64_t tokens, int64_t chunk_tokens) const;

  // Pages that Reserve(table, tokens) would take from the pool.
  int64_t PagesToReserve(const PageTable& table, int64_t tokens) const;

  // Usage over all live tables.
  KvUsage Usage() const;

 private:
  int64_t PageCount(int64_t tokens) const;
  bool WritesIntoSharedPage(const PageTable& table, size_t group) const;
  PageId TakePage();
  void DropPage(PageTable& table, PageId& page);
  void SetFilled(PageId page, int32_t slots);

  KvLayout layout_;
  PagePool pool_;
  std::vector<int32_t> filled_;  // by page: slots that hold a reserved token
  int64_t filled_slots_ = 0;     // the sum of filled_
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_CACHE_H_

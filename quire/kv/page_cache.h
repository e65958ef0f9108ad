// KV memory in pages that sequences share: what begins alike is computed once and lies there once, with copy
// on write, and stays cached when nobody uses it. A hit of Match may end inside a page.
//
// Without Match, Publish and the salted Release nothing is ever cached.
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

#include "quire/kv/kv_cache.h"
#include "quire/kv/page_pool.h"
#include "quire/kv/prefix_index.h"

namespace quire {

class PageCache final : public KvCache {
 public:
  // REQUIRES: there is a layout, and all have page_bytes() of the pool's pages.
  PageCache(std::vector<KvLayout> layouts, PagePool pool);
  PageCache(KvLayout layout, PagePool pool) : PageCache(std::vector{std::move(layout)}, std::move(pool)) {}

  std::span<const KvLayout> layouts() const override { return layouts_; }
  const PageArena& arena() const override { return pool_.arena(); }
  const PagePool& pool() const { return pool_; }
  const PrefixIndex& index() const { return index_; }
  int64_t pages() const override { return pool_.pages(); }
  int64_t available_pages() const override {
    return std::max<int64_t>(0, pool_.pages() - pool_.used_pages() + index_.idle_pages());
  }
  Status Resize(size_t kv_bytes) override;
  bool OverSize() const override { return pool_.used_pages() > pool_.pages(); }

  // The table may hold the beginning of `tokens` already, published or not. With sliding windows the hit ends
  // where all pages that its next token sees are there.
  int64_t Match(PageTable& table, std::string_view salt, std::span<const Token> tokens) override;
  // Where somebody else published the same tokens before, the table shares those pages from now on and its
  // own are free.
  void Publish(PageTable& table, std::string_view salt, std::span<const Token> tokens) override;
  // Of the sliding windows, the pages that are needed to go on from there stay cached longer than those of
  // the way there.
  void ExpectReturn(const PageTable& table, int64_t position) override;

  int64_t Pin(const std::string& name, const PageTable& table, int64_t tokens, PinFacts facts) override;
  bool YieldOldestPin(std::string_view owner, std::string_view beginning, std::string_view but) override {
    return pins_.YieldOldest(index_, owner, beginning, but);
  }
  bool Unpin(const std::string& name) override { return pins_.Remove(index_, name); }
  void ExpirePins(double now_s) override { pins_.Advance(index_, now_s); }

  // Appends pages to every group, and gives the sequence its own copy of a shared page that it is about to
  // write into.
  Verdict Reserve(PageTable& table, int64_t tokens, Room room = Room::kOfSize) override;
  void TrimWindows(PageTable& table, int64_t position) override;
  // Shares every page.
  PageTable Fork(const PageTable& table) override;
  void Release(PageTable& table) override;
  void Release(PageTable& table, std::string_view salt, std::span<const Token> tokens) override;

  // The table goes on without its pages [first, end) of every group, and without their tokens: what was
  // computed saw them, what comes next does not. Windows then reach further back by as much. REQUIRES: the
  // pages are full; the table was neither matched nor published, and never will be.
  void LeaveOut(PageTable& table, int64_t first, int64_t end);

  int64_t PagesFor(int64_t tokens, int64_t chunk_tokens, int layout = 0) const override {
    return layouts_[layout].PagesFor(tokens, chunk_tokens);
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

  // What lies in a page of the index: the layer groups of all layouts are counted through.
  size_t FormOf(PageId page) const;

  KvUsage Usage() const override;
  LayoutUsage UsageOf(int layout) const override;
  IndexUsage index_usage() const override {
    return {.nodes = index_.nodes(),
            .bytes = index_.bytes(),
            .pinned_pages = index_.pinned_pages(),
            .held_back_pages = index_.held_back_pages()};
  }

 private:
  struct Hit {
    std::vector<PrefixIndex::Step> path;  // from where the table's node ends
    int64_t tokens = 0;
  };

  bool WritesIntoSharedPage(const PageTable& table, size_t group) const;
  Hit FindHit(const PageTable& table, PrefixNode& from, std::span<const Token> tokens) const;
  void Adopt(PageTable& table, int64_t kept_pages, const Hit& hit);
  void PublishPage(PageTable& table, PrefixNode& node, int64_t index, bool full);
  void MoveTo(PageTable& table, PrefixNode* node);
  void DisownTail(const PageTable& table);
  void GiveUp();
  bool Evict();
  void Shrink();

  PageId TakePage(int layout);
  void ReleasePage(PageId page);
  void SharePage(PageTable& table, PageId page);
  void DropPage(PageTable& table, PageId& page);
  void DropPagesBefore(PageTable& table, size_t group, int64_t index);
  void SetFilled(PageId page, int64_t bytes);

  std::vector<KvLayout> layouts_;
  PagePool pool_;
  PrefixIndex index_;            // has one reference to each of its pages
  std::vector<PageId> dropped_;  // by the index, whose reference is still to be released
  std::vector<PageId> published_;
  bool records_published_ = false;
  struct PageFill {
    int layout = 0;
    int32_t bytes = 0;  // that reserved tokens take
  };
  std::vector<PageFill> filled_;   // by page
  int64_t filled_bytes_ = 0;       // over pages that are not idle
  std::vector<int64_t> pages_of_;  // by layout: pages that are not free
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_CACHE_H_

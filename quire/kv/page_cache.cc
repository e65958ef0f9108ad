#include "quire/kv/page_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "quire/base/check.h"
#include "quire/kv/unbroken_pages.h"

// Invariants:
// - A table holds one reference to each of its pages, and every group has a page (or kNoPage, when it left
//   the window) for each of its positions. In a group with a window the kNoPage are in front.
// - A page with more than one reference is never written: whoever writes into a shared page copies it first.
//   Only the last, partly filled page of a table can be both shared and about to be written.
// - The index has one reference to each of its pages; a page with no other one is idle. A table that holds a
//   node has, in groups of full attention, the very pages of that node and of all above it.

namespace quire {
namespace {

// What the first layout's pages are called does not depend on whether there are others.
std::vector<IndexedLayout> Indexed(const std::vector<KvLayout>& layouts) {
  std::vector<IndexedLayout> indexed;
  for (const KvLayout& layout : layouts) {
    IndexedLayout& next = indexed.emplace_back();
    for (const LayerGroup& group : layout.groups()) next.windows.push_back(group.window);
    next.page_tokens = static_cast<size_t>(layout.page_tokens());
    if (indexed.size() > 1) next.kind = layout.name();
  }
  return indexed;
}

}  // namespace

PageCache::PageCache(std::vector<KvLayout> layouts, PagePool pool)
    : layouts_(std::move(layouts)),
      pool_(std::move(pool)),
      index_(Indexed(layouts_)),
      pages_of_(layouts_.size()) {
  for (const KvLayout& layout : layouts_) QUIRE_CHECK(pool_.page_bytes() == layout.page_bytes());
}

bool PageCache::WritesIntoSharedPage(const PageTable& table, size_t group) const {
  return table.tokens % LayoutOf(table).page_tokens() != 0 && pool_.RefCount(table.groups[group].back()) > 1;
}

// -- Single pages -------------------------------------------------------------------------------------------

PageId PageCache::TakePage(int layout) {
  const PageId page = pool_.Allocate();
  index_.Forget(page);
  if (page >= filled_.size()) filled_.resize(size_t{page} + 1);
  filled_[page].layout = layout;
  ++pages_of_[layout];
  return page;
}

void PageCache::ReleasePage(PageId page) {
  if (pool_.RefCount(page) == 1) --pages_of_[filled_[page].layout];
  pool_.Release(page);
}

// A further reference to a page of the index.
void PageCache::SharePage(PageTable& table, PageId page) {
  if (pool_.RefCount(page) == 1) {
    index_.SetIdle(page, false);
    filled_bytes_ += filled_[page].bytes;
  }
  pool_.AddRef(page);
  ++table.pages_held;
}

void PageCache::DropPage(PageTable& table, PageId& page) {
  if (page == kNoPage) return;
  if (pool_.RefCount(page) == 1) SetFilled(page, 0);
  ReleasePage(page);
  if (pool_.RefCount(page) == 1 && index_.Holds(page)) {
    index_.SetIdle(page, true);
    filled_bytes_ -= filled_[page].bytes;
  }
  page = kNoPage;
  --table.pages_held;
}

// What was dropped before is a run of kNoPage at the front, so going backwards meets each page once.
void PageCache::DropPagesBefore(PageTable& table, size_t group, int64_t index) {
  std::vector<PageId>& pages = table.groups[group];
  for (int64_t i = std::min(index, std::ssize(pages)) - 1; i >= 0 && pages[i] != kNoPage; --i) {
    DropPage(table, pages[i]);
  }
}

void PageCache::SetFilled(PageId page, int64_t bytes) {
  filled_bytes_ += bytes - filled_[page].bytes;
  filled_[page].bytes = static_cast<int32_t>(bytes);
}

// Releases the index's reference to what it dropped.
void PageCache::GiveUp() {
  for (const PageId page : dropped_) {
    if (pool_.RefCount(page) == 1) filled_[page].bytes = 0;
    ReleasePage(page);
  }
  dropped_.clear();
}

// False when no page is idle.
bool PageCache::Evict() {
  if (index_.idle_pages() == 0) return false;
  while (index_.OnlyPinnedLeft()) pins_.Yield(index_);
  index_.Evict(dropped_);
  GiveUp();
  return true;
}

void PageCache::Shrink() {
  while (OverSize() && Evict()) {
  }
}

Status PageCache::Resize(size_t kv_bytes) {
  QUIRE_TRY(pool_.Resize(kv_bytes));
  Shrink();
  return {};
}

// -- Reserve and Release ------------------------------------------------------------------------------------

int64_t PageCache::PagesToReserve(const PageTable& table, int64_t tokens) const {
  const KvLayout& layout = LayoutOf(table);
  const int64_t fresh = layout.PageCount(table.tokens + tokens) - layout.PageCount(table.tokens);
  int64_t pages = fresh * static_cast<int64_t>(layout.groups().size());
  if (tokens > 0) {
    for (size_t g = 0; g < table.groups.size(); ++g) pages += WritesIntoSharedPage(table, g);
  }
  return pages;
}

// Instead of being copied, the page that is about to be written leaves the index, where it is shared with
// nobody else. So a sequence that is alone in the pool always has room to go on from a hit.
void PageCache::DisownTail(const PageTable& table) {
  for (size_t g = 0; g < table.groups.size(); ++g) {
    if (!WritesIntoSharedPage(table, g)) continue;
    const PageId page = table.groups[g].back();
    if (pool_.RefCount(page) == 2 && index_.Holds(page)) {
      pins_.YieldPage(index_, page);
      index_.Disown(page, dropped_);
    }
    GiveUp();
  }
}

Verdict PageCache::Reserve(PageTable& table, int64_t tokens, Room room) {
  QUIRE_CHECK(tokens >= 0);
  const KvLayout& layout = LayoutOf(table);
  table.groups.resize(layout.groups().size());
  if (tokens == 0) return Verdict::kGranted;

  const int64_t page_tokens = layout.page_tokens();
  const int64_t end = table.tokens + tokens;
  if (PagesToReserve(table, tokens) > available_pages()) DisownTail(table);
  if (PagesToReserve(table, tokens) > available_pages()) {
    const int64_t fresh = (layout.PageCount(end) - layout.PageCount(table.tokens)) * std::ssize(table.groups);
    const int64_t pages = room == Room::kOfSize ? pool_.pages() : pool_.most_pages();
    if (table.pages_held + fresh > pages) return Verdict::kNever;
    const int64_t held = pool_.used_pages() - index_.idle_pages();
    if (held + PagesToReserve(table, tokens) > pages) return Verdict::kWait;
  }
  while (PagesToReserve(table, tokens) > pool_.free_pages() && Evict()) {
  }

  for (size_t g = 0; g < table.groups.size(); ++g) {
    std::vector<PageId>& pages = table.groups[g];
    if (WritesIntoSharedPage(table, g)) {
      const PageId copy = TakePage(table.layout);
      std::memcpy(pool_.data(copy), pool_.data(pages.back()), pool_.page_bytes());
      DropPage(table, pages.back());
      pages.back() = copy;
      ++table.pages_held;
    }
    for (; std::ssize(pages) < layout.PageCount(end); ++table.pages_held) {
      pages.push_back(TakePage(table.layout));
    }
    const auto slot_bytes = static_cast<int64_t>(layout.SlotBytes(g));
    for (int64_t i = table.tokens / page_tokens; i < std::ssize(pages); ++i) {
      SetFilled(pages[i], slot_bytes * std::min(page_tokens, end - i * page_tokens));
    }
  }
  table.tokens = end;
  return Verdict::kGranted;
}

void PageCache::TrimWindows(PageTable& table, int64_t position) {
  QUIRE_CHECK(position <= table.tokens);
  for (size_t g = 0; g < table.groups.size(); ++g) {
    DropPagesBefore(table, g, LayoutOf(table).FirstVisiblePage(g, position));
  }
}

void PageCache::LeaveOut(PageTable& table, int64_t first, int64_t end) {
  const int64_t page_tokens = LayoutOf(table).page_tokens();
  QUIRE_CHECK(table.prefix == nullptr && first <= end && end * page_tokens <= table.tokens);
  for (std::vector<PageId>& pages : table.groups) {
    for (int64_t i = first; i < end; ++i) DropPage(table, pages[i]);
    pages.erase(pages.begin() + first, pages.begin() + end);
  }
  const int64_t tokens = (end - first) * page_tokens;
  table.tokens -= tokens;
  table.left_out += tokens;
}

PageTable PageCache::Fork(const PageTable& table) {
  for (const auto& pages : table.groups) {
    for (PageId page : pages) {
      if (page != kNoPage) pool_.AddRef(page);
    }
  }
  if (table.prefix != nullptr) index_.Hold(*table.prefix);
  return table;
}

void PageCache::Release(PageTable& table) {
  for (auto& pages : table.groups) {
    for (PageId& page : pages) DropPage(table, page);
  }
  MoveTo(table, nullptr);
  table = PageTable{.layout = table.layout};
  Shrink();
}

KvUsage PageCache::Usage() const {
  const auto page_bytes = static_cast<int64_t>(pool_.page_bytes());
  return {.limit = pool_.pages() * page_bytes,
          .total = std::max(pool_.pages(), pool_.used_pages()) * page_bytes,
          .committed = pool_.committed_pages() * page_bytes,
          .free = pool_.free_pages() * page_bytes,
          .cached = index_.idle_pages() * page_bytes,
          .used = (pool_.used_pages() - index_.idle_pages()) * page_bytes,
          .filled = filled_bytes_};
}

LayoutUsage PageCache::UsageOf(int layout) const {
  const auto page_bytes = static_cast<int64_t>(pool_.page_bytes());
  const int64_t idle = index_.idle_pages_of(layout);
  return {.cached = idle * page_bytes, .used = (pages_of_[layout] - idle) * page_bytes};
}

size_t PageCache::FormOf(PageId page) const {
  size_t form = index_.GroupOf(page);
  for (int layout = index_.NodeOf(page).layout; layout-- > 0;) form += layouts_[layout].groups().size();
  return form;
}

// -- Match --------------------------------------------------------------------------------------------------

int64_t PageCache::Match(PageTable& table, std::string_view salt, std::span<const Token> tokens) {
  QUIRE_CHECK(table.left_out == 0);
  table.groups.resize(LayoutOf(table).groups().size());
  if (std::ssize(tokens) <= table.tokens) return 0;
  PrefixNode* const from = table.prefix != nullptr ? table.prefix : index_.FindRoot(salt, table.layout);
  if (from == nullptr) return 0;
  const Hit hit = FindHit(table, *from, tokens);
  if (hit.tokens <= table.tokens) return 0;
  const int64_t gained = hit.tokens - table.tokens;
  Adopt(table, from->depth, hit);
  return gained;
}

// The longest usable hit from node `from` on, which the table has: one where every group with a window has
// all pages that a query at its end sees.
PageCache::Hit PageCache::FindHit(const PageTable& table, PrefixNode& from,
                                  std::span<const Token> tokens) const {
  const KvLayout& layout = LayoutOf(table);
  const int64_t page_tokens = layout.page_tokens();
  UnbrokenPages unbroken(layout, table, from.depth);
  Hit hit;
  size_t used = 0;  // of the path
  for (PrefixNode* node = &from;;) {
    const int64_t begin = node->depth * page_tokens;
    const PrefixIndex::Step step = index_.Longest(*node, tokens.subspan(begin));
    if (step.node == nullptr) break;
    hit.path.push_back(step);
    for (size_t g = 0; g < table.groups.size(); ++g) {
      if (step.node->state[g] == kNoPage) unbroken.Lacks(g, node->depth);
    }
    if (unbroken.ReachTo(begin + step.tokens)) {
      hit.tokens = begin + step.tokens;
      used = hit.path.size();
    }
    if (step.tokens < page_tokens) break;
    node = step.node;
  }
  hit.path.resize(used);
  return hit;
}

// Shares the pages of the hit behind the first `kept_pages` of the table.
void PageCache::Adopt(PageTable& table, int64_t kept_pages, const Hit& hit) {
  for (size_t g = 0; g < table.groups.size(); ++g) {
    std::vector<PageId>& pages = table.groups[g];
    for (; std::ssize(pages) > kept_pages; pages.pop_back()) DropPage(table, pages.back());
    const int64_t first_visible = LayoutOf(table).FirstVisiblePage(g, hit.tokens);
    DropPagesBefore(table, g, first_visible);
    for (const PrefixIndex::Step& step : hit.path) {
      const bool visible = std::ssize(pages) >= first_visible;
      const PageId page = visible ? step.node->state[g] : kNoPage;
      if (page != kNoPage) {
        SharePage(table, page);
        index_.Expect(page);
      }
      pages.push_back(page);
    }
  }
  table.tokens = hit.tokens;
  PrefixNode* node = table.prefix;
  for (const PrefixIndex::Step& step : hit.path) {
    index_.Touch(*step.node);
    if (step.tokens == LayoutOf(table).page_tokens()) node = step.node;
  }
  MoveTo(table, node);
}

// -- Publish ------------------------------------------------------------------------------------------------

void PageCache::Publish(PageTable& table, std::string_view salt, std::span<const Token> tokens) {
  QUIRE_CHECK(table.left_out == 0 && std::ssize(tokens) <= table.tokens);
  const int64_t page_tokens = LayoutOf(table).page_tokens();
  int64_t index = table.prefix != nullptr ? table.prefix->depth : 0;
  if ((index + 1) * page_tokens > std::ssize(tokens)) return;
  PrefixNode* node = table.prefix != nullptr ? table.prefix : index_.MakeRoot(salt, table.layout);
  for (; (index + 1) * page_tokens <= std::ssize(tokens); ++index) {
    node = &index_.Put(*node, tokens.subspan(index * page_tokens, page_tokens), dropped_);
    GiveUp();
    PublishPage(table, *node, index, true);
  }
  MoveTo(table, node);
}

// Gives the node what it lacks of the table's state at page `index`, and, if the page is full, shares the
// rest.
void PageCache::PublishPage(PageTable& table, PrefixNode& node, int64_t index, bool full) {
  for (size_t g = 0; g < table.groups.size(); ++g) {
    PageId& own = table.groups[g][index];
    const PageId published = node.state[g];
    if (own == kNoPage || own == published) continue;
    if (published == kNoPage) {
      index_.Attach(node, g, own);
      pool_.AddRef(own);
      if (full && records_published_) published_.push_back(own);
    } else if (full) {
      if (index_.expected(own)) index_.Expect(published);
      DropPage(table, own);
      SharePage(table, published);
      own = published;
    }
  }
}

void PageCache::Release(PageTable& table, std::string_view salt, std::span<const Token> tokens) {
  Publish(table, salt, tokens);
  const int64_t page_tokens = LayoutOf(table).page_tokens(), tail = std::ssize(tokens) % page_tokens;
  if (tail > 0) {
    PrefixNode& last = table.prefix != nullptr ? *table.prefix : *index_.MakeRoot(salt, table.layout);
    PrefixNode& node = index_.Put(last, tokens.last(tail), dropped_);
    GiveUp();
    if (std::ssize(node.tokens) == tail) PublishPage(table, node, last.depth, false);
    index_.Touch(node);
  }
  ExpectReturn(table, std::ssize(tokens));
  Release(table);
}

// From anywhere on the page before `position`, too.
void PageCache::ExpectReturn(const PageTable& table, int64_t position) {
  const KvLayout& layout = LayoutOf(table);
  position = std::max<int64_t>(0, position - layout.page_tokens());
  for (size_t g = 0; g < table.groups.size(); ++g) {
    if (layout.groups()[g].window == 0) continue;
    const int64_t first = layout.FirstVisiblePage(g, position);
    for (const PrefixNode* node = table.prefix; node != nullptr && node->depth > first; node = node->parent) {
      if (node->state[g] != kNoPage) index_.Expect(node->state[g]);
    }
    const int64_t unpublished = table.prefix != nullptr ? table.prefix->depth : 0;
    for (int64_t i = unpublished; i < std::ssize(table.groups[g]); ++i) {
      if (table.groups[g][i] != kNoPage) index_.Expect(table.groups[g][i]);
    }
  }
}

int64_t PageCache::Pin(const std::string& name, const PageTable& table, int64_t tokens, PinFacts facts) {
  const int64_t page_tokens = LayoutOf(table).page_tokens();
  PrefixNode* node = table.prefix;
  while (node != nullptr && node->depth > tokens / page_tokens) node = node->parent;
  if (node == nullptr || node->depth == 0) {
    Unpin(name);
    return 0;
  }
  pins_.Put(index_, name, *node, std::move(facts));
  return node->depth * page_tokens;
}

// The table holds `node` from now on, or none.
void PageCache::MoveTo(PageTable& table, PrefixNode* node) {
  if (node == table.prefix) return;
  if (node != nullptr) index_.Hold(*node);
  if (table.prefix != nullptr) index_.LetGo(*table.prefix);
  table.prefix = node;
}

}  // namespace quire

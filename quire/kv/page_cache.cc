#include "quire/kv/page_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "quire/base/check.h"

// Invariants:
// - A table holds one reference to each of its pages, and every group has a page (or kNoPage, when it left
//   the window) for each of its positions.
// - A page with more than one reference is never written: whoever writes into a shared page copies it first.
//   Only the last, partly filled page of a table can be both shared and about to be written.

namespace quire {

PageCache::PageCache(KvLayout layout, PagePool pool)
    : layout_(std::move(layout)), pool_(std::move(pool)), filled_(pool_.pages(), 0) {
  QUIRE_CHECK(pool_.page_bytes() == layout_.page_bytes());
}

int64_t PageCache::PageCount(int64_t tokens) const {
  return (tokens + layout_.page_tokens() - 1) / layout_.page_tokens();
}

bool PageCache::WritesIntoSharedPage(const PageTable& table, size_t group) const {
  return table.tokens % layout_.page_tokens() != 0 && pool_.RefCount(table.groups[group].back()) > 1;
}

PageId PageCache::TakePage() {
  const std::optional<PageId> page = pool_.Allocate();
  QUIRE_CHECK(page.has_value());
  return *page;
}

void PageCache::DropPage(PageTable& table, PageId& page) {
  if (page == kNoPage) return;
  if (pool_.RefCount(page) == 1) SetFilled(page, 0);
  pool_.Release(page);
  page = kNoPage;
  --table.pages_held;
}

void PageCache::SetFilled(PageId page, int32_t slots) {
  filled_slots_ += slots - filled_[page];
  filled_[page] = slots;
}

int64_t PageCache::PagesToReserve(const PageTable& table, int64_t tokens) const {
  const int64_t fresh = PageCount(table.tokens + tokens) - PageCount(table.tokens);
  int64_t pages = fresh * static_cast<int64_t>(layout_.groups().size());
  if (tokens > 0) {
    for (size_t g = 0; g < table.groups.size(); ++g) pages += WritesIntoSharedPage(table, g);
  }
  return pages;
}

Verdict PageCache::Reserve(PageTable& table, int64_t tokens) {
  QUIRE_CHECK(tokens >= 0);
  table.groups.resize(layout_.groups().size());
  if (tokens == 0) return Verdict::kGranted;

  const int64_t page_tokens = layout_.page_tokens();
  const int64_t end = table.tokens + tokens;
  if (PagesToReserve(table, tokens) > pool_.free_pages()) {
    const int64_t fresh = (PageCount(end) - PageCount(table.tokens)) * std::ssize(table.groups);
    return table.pages_held + fresh > pool_.pages() ? Verdict::kNever : Verdict::kWait;
  }

  for (size_t g = 0; g < table.groups.size(); ++g) {
    std::vector<PageId>& pages = table.groups[g];
    if (WritesIntoSharedPage(table, g)) {
      const PageId copy = TakePage();
      std::memcpy(pool_.data(copy), pool_.data(pages.back()), pool_.page_bytes());
      DropPage(table, pages.back());
      pages.back() = copy;
      ++table.pages_held;
    }
    for (; std::ssize(pages) < PageCount(end); ++table.pages_held) pages.push_back(TakePage());
    for (int64_t i = table.tokens / page_tokens; i < std::ssize(pages); ++i) {
      SetFilled(pages[i], static_cast<int32_t>(std::min(page_tokens, end - i * page_tokens)));
    }
  }
  table.tokens = end;
  return Verdict::kGranted;
}

void PageCache::TrimWindows(PageTable& table, int64_t position) {
  QUIRE_CHECK(position <= table.tokens);
  for (size_t g = 0; g < table.groups.size(); ++g) {
    const int64_t window = layout_.groups()[g].window;
    const int64_t first_visible = position - window + 1;
    if (window == 0 || first_visible <= 0) continue;
    // What was trimmed before is a run of kNoPage at the front, so going backwards meets each page once.
    for (int64_t i = first_visible / layout_.page_tokens() - 1; i >= 0 && table.groups[g][i] != kNoPage;
         --i) {
      DropPage(table, table.groups[g][i]);
    }
  }
}

PageTable PageCache::Fork(const PageTable& table) {
  for (const auto& pages : table.groups) {
    for (PageId page : pages) {
      if (page != kNoPage) pool_.AddRef(page);
    }
  }
  return table;
}

void PageCache::Release(PageTable& table) {
  for (auto& pages : table.groups) {
    for (PageId& page : pages) DropPage(table, page);
  }
  table = PageTable{};
}

int64_t PageCache::PagesFor(int64_t tokens, int64_t chunk_tokens) const {
  int64_t pages = 0;
  for (const LayerGroup& group : layout_.groups()) {
    int64_t in_group = PageCount(tokens);
    if (group.window > 0) {
      // While a chunk is computed, its first token's window and the whole chunk are there. That many
      // positions lie in one page more than they fill when they start at the end of one.
      const int64_t positions = group.window - 1 + std::min(chunk_tokens, tokens);
      in_group = std::min(in_group, PageCount(positions - 1) + 1);
    }
    pages += in_group;
  }
  return pages;
}

KvUsage PageCache::Usage() const {
  const auto page_bytes = static_cast<int64_t>(pool_.page_bytes());
  return {.total = pool_.pages() * page_bytes,
          .free = pool_.free_pages() * page_bytes,
          .used = pool_.used_pages() * page_bytes,
          .filled = filled_slots_ * (page_bytes / layout_.page_tokens())};
}

}  // namespace quire

#include "quire/kv/page_pool.h"

#include "quire/base/byte_size.h"
#include "quire/base/check.h"

// Invariants:
// - A page that was ever allocated is used, warm or cold, and its count in `refs_` is zero exactly when it is
//   warm or cold.
// - There are warm pages only while used and warm ones are no more than the size.
// - A byte of the arena has memory only where it lies in, or shares a page of the system with, a page that is
//   used or warm.

namespace quire {
namespace {

Result<int64_t> PagesIn(size_t pool_bytes, size_t page_bytes) {
  const size_t pages = pool_bytes / page_bytes;
  if (pages == 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "KV memory of {} cannot hold a single page of {}; give more with --kv-memory",
                FormatByteSize(pool_bytes), FormatByteSize(page_bytes));
  }
  if (pages >= kNoPage) {
    return Fail(ErrorCode::kInvalidArgument,
                "KV memory of {} would be {} pages of {}, more than the {} a pool can number; give less with "
                "--kv-memory",
                FormatByteSize(pool_bytes), pages, FormatByteSize(page_bytes), kNoPage - 1);
  }
  return static_cast<int64_t>(pages);
}

}  // namespace

Result<PagePool> PagePool::Create(size_t pool_bytes, size_t page_bytes, size_t most_bytes) {
  QUIRE_CHECK(page_bytes > 0);
  PagePool pool;
  QUIRE_ASSIGN(pool.pages_, PagesIn(pool_bytes, page_bytes));
  const size_t most = std::min<size_t>(std::max(pool_bytes, most_bytes) / page_bytes, kNoPage - 1);
  QUIRE_ASSIGN(pool.arena_, PageArena::Paged(page_bytes, static_cast<int64_t>(most)));
  return pool;
}

Status PagePool::Resize(size_t pool_bytes) {
  QUIRE_ASSIGN(const int64_t pages, PagesIn(pool_bytes, page_bytes()));
  if (pages > most_pages()) {
    return Fail(ErrorCode::kInvalidArgument, "KV memory of {} is more than the {} that there may be here",
                FormatByteSize(pool_bytes), FormatByteSize(most_pages() * page_bytes()));
  }
  pages_ = pages;
  while (!warm_.empty() && committed_pages() > pages_) {
    GiveBack(warm_.front());
    warm_.pop_front();
  }
  return {};
}

PageId PagePool::Allocate() {
  PageId page = static_cast<PageId>(refs_.size());
  if (!warm_.empty()) {
    page = warm_.back();
    warm_.pop_back();
  } else if (!cold_.empty()) {
    page = cold_.back();
    cold_.pop_back();
  } else {
    QUIRE_CHECK(page < most_pages());
    refs_.push_back(0);
    has_memory_.push_back(false);
  }
  refs_[page] = 1;
  has_memory_[page] = true;
  ++used_pages_;
  return page;
}

void PagePool::AddRef(PageId page) {
  QUIRE_CHECK(page < refs_.size() && refs_[page] > 0);
  ++refs_[page];
}

void PagePool::Release(PageId page) {
  QUIRE_CHECK(page < refs_.size() && refs_[page] > 0);
  if (--refs_[page] > 0) return;
  --used_pages_;
  if (committed_pages() < pages_) {
    warm_.push_back(page);
  } else {
    GiveBack(page);
  }
}

bool PagePool::IsCold(int64_t page) const { return page >= std::ssize(has_memory_) || !has_memory_[page]; }

// Also what the page shares pages of the system with, where that is cold already.
void PagePool::GiveBack(PageId page) {
  has_memory_[page] = false;
  cold_.push_back(page);
  const auto beside = static_cast<int64_t>((SystemPageBytes() + page_bytes() - 1) / page_bytes());
  int64_t first = page, end = first + 1;
  while (first > 0 && page - first < beside && IsCold(first - 1)) --first;
  while (end < most_pages() && end - page <= beside && IsCold(end)) ++end;
  arena_.GiveBack(first, end);
}

}  // namespace quire

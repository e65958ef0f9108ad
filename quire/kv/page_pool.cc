#include "quire/kv/page_pool.h"

#include "quire/base/byte_size.h"
#include "quire/base/check.h"

// Invariants: a page is on `free_` exactly when its count in `refs_` is zero, and it is there once.

namespace quire {

Result<PagePool> PagePool::Create(size_t pool_bytes, size_t page_bytes) {
  QUIRE_CHECK(page_bytes > 0);
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
  PagePool pool;
  QUIRE_ASSIGN(pool.arena_, AlignedBuffer::Allocate(pages * page_bytes));
  pool.page_bytes_ = page_bytes;
  pool.refs_.assign(pages, 0);
  pool.free_.resize(pages);
  for (size_t i = 0; i < pages; ++i) pool.free_[i] = static_cast<PageId>(pages - 1 - i);
  return pool;
}

std::optional<PageId> PagePool::Allocate() {
  if (free_.empty()) return std::nullopt;
  const PageId page = free_.back();
  free_.pop_back();
  refs_[page] = 1;
  return page;
}

void PagePool::AddRef(PageId page) {
  QUIRE_CHECK(page < refs_.size() && refs_[page] > 0);
  ++refs_[page];
}

void PagePool::Release(PageId page) {
  QUIRE_CHECK(page < refs_.size() && refs_[page] > 0);
  if (--refs_[page] == 0) free_.push_back(page);
}

}  // namespace quire

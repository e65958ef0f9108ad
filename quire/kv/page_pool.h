// The process's KV memory: one arena cut into equal pages, each with a reference count. A page is free
// exactly when its count is zero. The pool knows nothing of tokens, sequences or layers.
//
// One owner: only the engine thread calls it, so there are no locks.
#ifndef QUIRE_KV_PAGE_POOL_H_
#define QUIRE_KV_PAGE_POOL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/result.h"

namespace quire {

using PageId = uint32_t;
inline constexpr PageId kNoPage = UINT32_MAX;

class PagePool {
 public:
  // Reserves address space for as many pages of `page_bytes` as fit into `pool_bytes`; memory is committed by
  // the system as pages are first written. Errors: kInvalidArgument when not even one page fits.
  static Result<PagePool> Create(size_t pool_bytes, size_t page_bytes);

  // Takes a free page with one reference, preferring recently used ones (they are warm), or nothing.
  std::optional<PageId> Allocate();
  // REQUIRES: the page is in use.
  void AddRef(PageId page);
  void Release(PageId page);
  int RefCount(PageId page) const { return refs_[page]; }

  std::byte* data(PageId page) const { return arena_.data() + static_cast<size_t>(page) * page_bytes_; }
  size_t page_bytes() const { return page_bytes_; }
  int64_t pages() const { return static_cast<int64_t>(refs_.size()); }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  int64_t used_pages() const { return pages() - free_pages(); }

 private:
  AlignedBuffer arena_;
  size_t page_bytes_ = 0;
  std::vector<int32_t> refs_;
  std::vector<PageId> free_;  // a stack
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_POOL_H_

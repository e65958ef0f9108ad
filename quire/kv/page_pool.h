// The process's KV memory: equal pages with a reference count each, in one range of addresses. A page is free
// exactly when its count is zero. The pool knows nothing of tokens, sequences or layers.
//
// How many pages there may be is its size, which can change at any time up to what addresses were reserved
// for. The system gives memory to a page when it is first written; a page that is free again keeps its memory
// for the next one (it is warm), as long as warm and used pages together are no more than the size. Beyond
// that its memory goes back to the system at once. The demand may be for more than the size: whether to
// allocate is for the caller to decide.
//
// One owner: only the engine thread calls it, so there are no locks.
#ifndef QUIRE_KV_PAGE_POOL_H_
#define QUIRE_KV_PAGE_POOL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "quire/base/result.h"
#include "quire/kv/page_arena.h"

namespace quire {

class PagePool {
 public:
  // As many pages of `page_bytes` as fit into `pool_bytes`, and addresses for as many as fit into
  // `most_bytes`, where that is more. Errors: kInvalidArgument when not even one page fits.
  static Result<PagePool> Create(size_t pool_bytes, size_t page_bytes, size_t most_bytes = 0);

  // From now on the size is as many pages as fit into `pool_bytes`. Free pages give their memory back; pages
  // in use keep theirs. Errors: kInvalidArgument when not even one page fits, or more than there are
  // addresses for.
  Status Resize(size_t pool_bytes);

  // Takes a free page with one reference, preferring recently used ones (they are warm).
  // REQUIRES: fewer than most_pages() are used.
  PageId Allocate();
  // REQUIRES: the page is in use.
  void AddRef(PageId page);
  void Release(PageId page);
  int RefCount(PageId page) const { return refs_[page]; }

  const PageArena& arena() const { return arena_; }
  std::byte* data(PageId page) const { return arena_.data(page); }
  size_t page_bytes() const { return arena_.page_bytes(); }
  int64_t pages() const { return pages_; }
  int64_t most_pages() const { return arena_.pages(); }
  int64_t used_pages() const { return used_pages_; }
  int64_t free_pages() const { return std::max<int64_t>(0, pages_ - used_pages_); }
  // That have memory, or will have when they are written: used and warm ones.
  int64_t committed_pages() const { return used_pages_ + std::ssize(warm_); }

 private:
  void GiveBack(PageId page);
  bool IsCold(int64_t page) const;

  PageArena arena_;
  int64_t pages_ = 0;
  int64_t used_pages_ = 0;
  std::vector<int32_t> refs_;  // of the pages that were ever allocated, which are the first ones
  std::vector<bool> has_memory_;
  std::deque<PageId> warm_;   // free, with memory; the one released last at the end
  std::vector<PageId> cold_;  // free, without; a stack
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_POOL_H_

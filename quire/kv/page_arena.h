// The addresses of KV pages, and of the tiles in them. The one place that knows how they lie: one after the
// other, each with all its tiles.
//
//   paged       pages are independent
//   contiguous  pages come in regions, which begin where a huge page may: the pages of a sequence follow each
//               other in one, so that a tile is at a fixed distance from that of the page before, and main
//               memory for the end of the sequence is in one piece, whatever the model has of layers and
//               heads (vAttention, Prabhu et al. 2024, sections 5 and 8)
//
// Only addresses are reserved here: the system gives memory to what is written, in pages of its own.
#ifndef QUIRE_KV_PAGE_ARENA_H_
#define QUIRE_KV_PAGE_ARENA_H_

#include <cstddef>
#include <cstdint>

#include "quire/base/aligned_buffer.h"
#include "quire/base/result.h"

namespace quire {

using PageId = uint32_t;
inline constexpr PageId kNoPage = UINT32_MAX;

// A tile of every page of a layer group: where it begins in a page, and its bytes.
struct TilePlace {
  size_t offset = 0;
  size_t bytes = 0;

  bool operator==(const TilePlace&) const = default;
};

class PageArena {
 public:
  PageArena() = default;
  // REQUIRES: pages < kNoPage. Errors: kResourceExhausted.
  static Result<PageArena> Paged(size_t page_bytes, int64_t pages);
  // At least `region_pages` pages in each of `regions`.
  // Errors: kResourceExhausted, and kInvalidArgument when there are too many pages to number.
  static Result<PageArena> Contiguous(size_t page_bytes, int64_t region_pages, int64_t regions);

  std::byte* tile(PageId page, TilePlace place) const { return data(page) + place.offset; }
  // All bytes of a page.
  std::byte* data(PageId page) const { return memory_.data() + page * page_bytes_; }

  size_t page_bytes() const { return page_bytes_; }
  int64_t pages() const { return static_cast<int64_t>(memory_.bytes() / page_bytes_); }
  int64_t region_pages() const { return region_pages_; }
  int64_t regions() const { return pages() / region_pages_; }

  // Gives the memory of pages [first, end) back to the system, as far as no other page shares it.
  void GiveBack(int64_t first, int64_t end) { memory_.GiveBack(first * page_bytes_, end * page_bytes_); }
  // For who decides which bytes have main memory.
  AlignedBuffer& memory() { return memory_; }

 private:
  AlignedBuffer memory_;
  size_t page_bytes_ = 0;
  int64_t region_pages_ = 1;
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_ARENA_H_

// The addresses of KV pages, and of the tiles in them. The one place that knows how they lie:
//
//   paged       a page's tiles lie one after the other, and pages are equal and independent
//   contiguous  pages come in regions of a power of two, and in a region every tile of a page is followed by
//               the same tile of the next page: a kernel that goes through a sequence walks straight on
//               (vAttention, Prabhu et al. 2024, section 5)
//
// Paged is contiguous with regions of one page. Only addresses are reserved here: the system gives memory to
// what is written, in pages of its own.
#ifndef QUIRE_KV_PAGE_ARENA_H_
#define QUIRE_KV_PAGE_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/result.h"

namespace quire {

using PageId = uint32_t;
inline constexpr PageId kNoPage = UINT32_MAX;

// A tile of every page of a layer group: where it begins in a page that lies alone, and its bytes.
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
  // At least `region_pages` pages in each of `regions`; `tiles` are all of a page.
  // Errors: kResourceExhausted, and kInvalidArgument when there are too many pages to number.
  static Result<PageArena> Contiguous(size_t page_bytes, std::vector<TilePlace> tiles, int64_t region_pages,
                                      int64_t regions);

  std::byte* tile(PageId page, TilePlace place) const {
    const size_t index = page & (region_pages() - 1);
    return memory_.data() + Begin(page >> region_bits_, place) + index * place.bytes;
  }
  // All bytes of a page. REQUIRES: paged.
  std::byte* data(PageId page) const { return tile(page, {}); }

  bool contiguous() const { return !tiles_.empty(); }
  size_t page_bytes() const { return page_bytes_; }
  int64_t region_pages() const { return int64_t{1} << region_bits_; }
  int64_t regions() const { return static_cast<int64_t>(memory_.bytes() / page_bytes_) >> region_bits_; }
  int64_t pages() const { return regions() << region_bits_; }

  // Gives the memory of pages [first, end) back to the system, as far as no other page shares it.
  // REQUIRES: paged.
  void GiveBack(int64_t first, int64_t end) { memory_.GiveBack(first * page_bytes_, end * page_bytes_); }

  // Of a contiguous arena: the tiles of a page, and the memory of pages [begin, end) of a region for one of
  // them, in pages of the system. Commit takes what begins in there, and is for pages that hold nothing;
  // GiveBack gives what lies in there.
  std::span<const TilePlace> tiles() const { return tiles_; }
  void Commit(int64_t region, TilePlace place, int64_t begin, int64_t end);
  void GiveBack(int64_t region, TilePlace place, int64_t begin, int64_t end);
  // What pages [begin, end) of a region take of main memory, over all tiles.
  int64_t BytesOf(int64_t begin, int64_t end) const;

 private:
  size_t Begin(int64_t region, TilePlace place) const {
    return (region * page_bytes_ + place.offset) << region_bits_;
  }

  AlignedBuffer memory_;
  size_t page_bytes_ = 0;
  int region_bits_ = 0;
  std::vector<TilePlace> tiles_;
  std::map<size_t, int64_t> tiles_of_;  // by bytes, how many
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_ARENA_H_

#include "quire/kv/page_arena.h"

#include <numeric>

namespace quire {

Result<PageArena> PageArena::Paged(size_t page_bytes, int64_t pages) {
  PageArena arena;
  arena.page_bytes_ = page_bytes;
  QUIRE_ASSIGN(arena.memory_, AlignedBuffer::Allocate(pages * page_bytes));
  return arena;
}

Result<PageArena> PageArena::Contiguous(size_t page_bytes, int64_t region_pages, int64_t regions) {
  PageArena arena;
  arena.page_bytes_ = page_bytes;
  const auto whole = static_cast<int64_t>(kHugePageBytes / std::gcd(page_bytes, kHugePageBytes));
  arena.region_pages_ = (region_pages + whole - 1) / whole * whole;
  const int64_t pages = arena.region_pages_ * regions;
  if (pages >= kNoPage) {
    return Fail(ErrorCode::kInvalidArgument,
                "a contiguous layout for {} sequences of {} pages has more pages than can be numbered; lower "
                "--max-sequences or --max-context",
                regions, region_pages);
  }
  QUIRE_ASSIGN(arena.memory_, AlignedBuffer::Allocate(pages * page_bytes));
  arena.memory_.UseSmallPages();
  return arena;
}

}  // namespace quire

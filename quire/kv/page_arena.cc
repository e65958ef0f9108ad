#include "quire/kv/page_arena.h"

#include <algorithm>
#include <bit>

#include "quire/base/check.h"

// Invariant of a contiguous arena: where a tile's run begins, in every region, a page of the system begins,
// so that no two runs share one.

namespace quire {
namespace {

// Tiles are multiples of 16 bytes, so runs of so many are multiples of every system's page up to 4 KiB, and
// longer ones of larger pages.
int RegionBits(int64_t pages) {
  const int64_t least = static_cast<int64_t>(SystemPageBytes() / 16);
  return std::countr_zero(std::bit_ceil(static_cast<uint64_t>(std::max(pages, least))));
}

size_t RoundUp(size_t bytes) {
  const size_t page = SystemPageBytes();
  return (bytes + page - 1) / page * page;
}
size_t RoundDown(size_t bytes) { return bytes / SystemPageBytes() * SystemPageBytes(); }

}  // namespace

Result<PageArena> PageArena::Paged(size_t page_bytes, int64_t pages) {
  PageArena arena;
  arena.page_bytes_ = page_bytes;
  QUIRE_ASSIGN(arena.memory_, AlignedBuffer::Allocate(pages * page_bytes));
  return arena;
}

Result<PageArena> PageArena::Contiguous(size_t page_bytes, std::vector<TilePlace> tiles, int64_t region_pages,
                                        int64_t regions) {
  PageArena arena;
  for (const TilePlace& tile : tiles) {
    QUIRE_CHECK(tile.offset % 16 == 0 && tile.bytes % 16 == 0);
    ++arena.tiles_of_[tile.bytes];
  }
  arena.page_bytes_ = page_bytes;
  arena.region_bits_ = RegionBits(region_pages);
  arena.tiles_ = std::move(tiles);
  const uint64_t pages = static_cast<uint64_t>(regions) << arena.region_bits_;
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

void PageArena::Commit(int64_t region, TilePlace place, int64_t begin, int64_t end) {
  const size_t at = Begin(region, place);
  memory_.Commit(at + RoundUp(begin * place.bytes), at + RoundUp(end * place.bytes));
}

void PageArena::GiveBack(int64_t region, TilePlace place, int64_t begin, int64_t end) {
  const size_t at = Begin(region, place);
  memory_.GiveBack(at + begin * place.bytes, at + end * place.bytes);
}

int64_t PageArena::BytesOf(int64_t begin, int64_t end) const {
  if (begin >= end) return 0;
  size_t bytes = 0;
  for (const auto& [tile_bytes, count] : tiles_of_) {
    bytes += count * (RoundUp(end * tile_bytes) - RoundDown(begin * tile_bytes));
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace quire

#include "quire/kv/region_cache.h"

#include <cstring>
#include <optional>
#include <utility>

#include "quire/base/byte_size.h"
#include "quire/base/check.h"
#include "quire/base/clock.h"

// Invariants:
// - A region is open (in a table), warm, leaving, cold or was never used.
// - used_bytes_ is what the open regions' pages [begin, end) take, committed_bytes_ what all regions' pages
//   [begin, warm_end) take: whole pages of the system. Committed is more than the size only while used is.
// - A warm region begins at page 0.

namespace quire {
namespace {

constexpr int64_t kTrimPages = 16;  // behind a window, that are given back at a time
constexpr int64_t kIdleShare = 20;  // of what is used, the part that may wait warm for others: a twentieth

// Adds the time of its life to `sum`.
class Timed {
 public:
  explicit Timed(double& sum) : sum_(sum), begin_(Clock::System().Now()) {}
  ~Timed() { sum_ += Seconds(Clock::System().Now() - begin_); }

 private:
  double& sum_;
  const TimePoint begin_;
};

}  // namespace

RegionCache::RegionCache(KvLayout layout, PageArena arena, size_t most_bytes)
    : layout_(std::move(layout)), arena_(std::move(arena)), most_bytes_(most_bytes) {}

Result<std::unique_ptr<RegionCache>> RegionCache::Create(KvLayout layout, const RegionCacheOptions& options) {
  const auto groups = std::ssize(layout.groups());
  const int64_t pages = layout.PageCount(options.longest_tokens);
  std::vector<TilePlace> tiles = layout.Tiles(0);
  for (size_t g = 1; g < layout.groups().size(); ++g) {
    if (layout.Tiles(g) == tiles) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "a contiguous layout needs layers of one type of KV pages in models with sliding windows; "
                "give --kv-type one type, or --kv-layout paged");
  }
  QUIRE_ASSIGN(PageArena arena, PageArena::Contiguous(layout.page_bytes(), std::move(tiles), pages,
                                                      options.sequences * groups));
  std::unique_ptr<RegionCache> cache(
      new RegionCache(std::move(layout), std::move(arena), std::max(options.kv_bytes, options.most_bytes)));
  QUIRE_TRY(cache->Resize(options.kv_bytes));
  return cache;
}

Status RegionCache::Resize(size_t kv_bytes) {
  if (kv_bytes < arena_.page_bytes()) {
    return Fail(ErrorCode::kInvalidArgument, "KV memory of {} cannot hold a single page of {}; give more",
                FormatByteSize(kv_bytes), FormatByteSize(arena_.page_bytes()));
  }
  if (kv_bytes > most_bytes_) {
    return Fail(ErrorCode::kInvalidArgument, "KV memory of {} is more than the {} that there may be here",
                FormatByteSize(kv_bytes), FormatByteSize(most_bytes_));
  }
  size_bytes_ = static_cast<int64_t>(kv_bytes);
  MakeRoom();
  return {};
}

int64_t RegionCache::FilledBy(const Region& region, int64_t tokens) const {
  return std::max<int64_t>(0, tokens - region.live * layout_.page_tokens());
}

// -- Reserve and Release ------------------------------------------------------------------------------------

Verdict RegionCache::Reserve(PageTable& table, int64_t tokens, Room room) {
  QUIRE_CHECK(tokens >= 0);
  table.groups.resize(layout_.groups().size());
  if (tokens == 0) return Verdict::kGranted;
  const int64_t pages = layout_.PageCount(table.tokens + tokens);
  if (pages > arena_.region_pages()) return Verdict::kNever;
  int64_t held = 0, wanted = 0;
  for (size_t g = 0; g < table.groups.size(); ++g) {
    const Region region = table.regions.empty() ? Region{} : regions_[table.regions[g]];
    held += UsedBy(region);
    wanted += arena_.BytesOf(region.begin, pages);
  }
  if (room == Room::kOfSize && wanted > held && used_bytes_ + wanted - held > size_bytes_) {
    return wanted > size_bytes_ ? Verdict::kNever : Verdict::kWait;
  }
  if (table.regions.empty() && !Open(table)) return Verdict::kWait;

  const Timed timed(commit_s_);
  for (size_t g = 0; g < table.groups.size(); ++g) {
    const int64_t at = table.regions[g];
    Extend(at, pages);
    if (tokens == 1) CommitAhead(at, table.tokens % layout_.page_tokens());
    const int64_t before = FilledBy(regions_[at], table.tokens);
    filled_tokens_ += FilledBy(regions_[at], table.tokens + tokens) - before;
    std::vector<PageId>& ids = table.groups[g];
    for (; std::ssize(ids) < pages; ++table.pages_held) {
      ids.push_back(static_cast<PageId>(at * arena_.region_pages() + std::ssize(ids)));
    }
  }
  table.tokens += tokens;
  TidyUp(static_cast<size_t>(layout_.PageCount(tokens)));
  return Verdict::kGranted;
}

bool RegionCache::Open(PageTable& table) {
  while (table.regions.size() < layout_.groups().size()) {
    const std::optional<int64_t> region = TakeRegion();
    if (!region) {
      for (const int64_t opened : table.regions) Close(opened);
      table.regions.clear();
      return false;
    }
    table.regions.push_back(*region);
  }
  return true;
}

// The one that was left last, since what it left is warm.
std::optional<int64_t> RegionCache::TakeRegion() {
  if (!warm_.empty()) {
    const int64_t region = warm_.back();
    warm_.pop_back();
    return region;
  }
  if (cold_.empty() && std::ssize(regions_) < arena_.regions()) {
    regions_.emplace_back();
    return std::ssize(regions_) - 1;
  }
  if (cold_.empty()) TidyUp(arena_.tiles().size());
  if (cold_.empty()) return std::nullopt;
  const int64_t region = cold_.back();
  cold_.pop_back();
  return region;
}

void RegionCache::Close(int64_t at) {
  Region& region = regions_[at];
  used_bytes_ -= UsedBy(region);
  region.end = region.live = region.begin;
  CommitDue(at, region.tiles_due);
  (region.begin > 0 ? leaving_ : region.warm_end > 0 ? warm_ : leaving_).push_back(at);
}

void RegionCache::Release(PageTable& table) {
  const Timed timed(commit_s_);
  for (const int64_t at : table.regions) {
    filled_tokens_ -= FilledBy(regions_[at], table.tokens);
    Close(at);
  }
  table = PageTable{};
  MakeRoom();
}

PageTable RegionCache::Fork(const PageTable& table) {
  PageTable fork;
  if (table.empty()) return fork;
  const auto trimmed = [&](int64_t at) { return regions_[at].live > 0; };
  if (std::ranges::any_of(table.regions, trimmed) || Reserve(fork, table.tokens) != Verdict::kGranted) {
    return PageTable{};
  }
  for (size_t g = 0; g < fork.groups.size(); ++g) {
    const std::vector<PageId>& from = table.groups[g];
    for (const TilePlace tile : arena_.tiles()) {
      if (from.empty()) continue;
      std::memcpy(arena_.tile(fork.groups[g].front(), tile), arena_.tile(from.front(), tile),
                  from.size() * tile.bytes);
    }
  }
  return fork;
}

void RegionCache::TrimWindows(PageTable& table, int64_t position) {
  QUIRE_CHECK(position <= table.tokens);
  const Timed timed(commit_s_);
  for (size_t g = 0; g < table.regions.size(); ++g) {
    Region& region = regions_[table.regions[g]];
    const int64_t live = std::min(layout_.FirstVisiblePage(g, position), region.end);
    if (live <= region.live) continue;
    const int64_t before = FilledBy(region, table.tokens);
    for (; region.live < live; ++region.live, --table.pages_held) table.groups[g][region.live] = kNoPage;
    filled_tokens_ += FilledBy(region, table.tokens) - before;
    if (region.live - region.begin >= kTrimPages) Trim(table.regions[g], region.live);
  }
}

int64_t RegionCache::PagesFor(int64_t tokens, int64_t chunk_tokens, int) const {
  int64_t bytes = 0;
  for (const LayerGroup& group : layout_.groups()) {
    int64_t begin = 0, end = layout_.PageCount(tokens);
    if (group.window > 0) {
      // While a chunk is computed, its first token's window and the whole chunk are there, and what was not
      // yet given back behind it.
      const int64_t positions = group.window - 1 + std::min(chunk_tokens, tokens);
      const int64_t pages = layout_.PageCount(positions - 1) + 1 + kTrimPages;
      if (pages < end) begin = end - pages;
    }
    bytes += arena_.BytesOf(begin, begin > 0 ? end + 1 : end);
  }
  return (bytes + page_bytes() - 1) / page_bytes();
}

KvUsage RegionCache::Usage() const {
  const int64_t total = std::max(size_bytes_, used_bytes_);
  return {.limit = size_bytes_,
          .total = total,
          .committed = committed_bytes_,
          .free = total - used_bytes_,
          .cached = 0,
          .used = used_bytes_,
          .filled = filled_tokens_ * (page_bytes() / layout_.page_tokens()),
          .commit_s = commit_s_};
}

// -- Main memory --------------------------------------------------------------------------------------------

// Pages up to `pages` are used from now on.
void RegionCache::Extend(int64_t at, int64_t pages) {
  Region& region = regions_[at];
  if (pages <= region.end) return;
  used_bytes_ += arena_.BytesOf(region.begin, pages) - UsedBy(region);
  region.end = pages;
  if (pages >= region.warm_end) CommitDue(at, region.tiles_due);
  if (pages <= region.warm_end) return;
  const int64_t from = std::exchange(region.warm_end, pages);
  committed_bytes_ += arena_.BytesOf(region.begin, pages) - arena_.BytesOf(region.begin, from);
  MakeRoom();
  for (const TilePlace tile : arena_.tiles()) arena_.Commit(at, tile, from, pages);
}

// A sequence has put a token into `slot` of its last page: by the time it needs the next one, all tiles of
// that have memory.
void RegionCache::CommitAhead(int64_t at, int64_t slot) {
  Region& region = regions_[at];
  const size_t tiles = arena_.tiles().size();
  if (region.warm_end == region.end && region.end < arena_.region_pages()) {
    const int64_t more = arena_.BytesOf(region.begin, region.end + 1) - UsedBy(region);
    if (committed_bytes_ + more > size_bytes_) return;
    committed_bytes_ += more;
    ++region.warm_end;
    region.tiles_due = tiles;
  }
  if (region.warm_end != region.end + 1) return;
  const size_t done = tiles * static_cast<size_t>(slot + 1) / layout_.page_tokens();
  const size_t due = tiles - done;
  if (region.tiles_due > due) CommitDue(at, region.tiles_due - due);
}

// The next `tiles` of those that are due.
void RegionCache::CommitDue(int64_t at, size_t tiles) {
  Region& region = regions_[at];
  for (; tiles > 0; --tiles, --region.tiles_due) {
    const TilePlace tile = arena_.tiles()[arena_.tiles().size() - region.tiles_due];
    arena_.Commit(at, tile, region.warm_end - 1, region.warm_end);
  }
}

void RegionCache::Trim(int64_t at, int64_t live) {
  Region& region = regions_[at];
  used_bytes_ -= UsedBy(region);
  committed_bytes_ -= arena_.BytesOf(region.begin, region.warm_end);
  region.begin = live;
  used_bytes_ += UsedBy(region);
  committed_bytes_ += arena_.BytesOf(region.begin, region.warm_end);
  for (const TilePlace tile : arena_.tiles()) arena_.GiveBack(at, tile, 0, live);
}

// What is warm goes until all is within the size: of regions that nobody has, the oldest first, and then what
// open ones have ahead or from an earlier life.
void RegionCache::MakeRoom() {
  const auto within = [&] { return committed_bytes_ <= std::max(size_bytes_, used_bytes_); };
  while (!within() && (!leaving_.empty() || !warm_.empty())) {
    if (leaving_.empty()) {
      leaving_.push_back(warm_.front());
      warm_.pop_front();
    }
    TidyUp(arena_.tiles().size());
  }
  for (int64_t at = 0; at < std::ssize(regions_) && !within(); ++at) GiveBackTail(at);
}

void RegionCache::GiveBackTail(int64_t at) {
  Region& region = regions_[at];
  if (region.warm_end == region.end) return;
  committed_bytes_ -= arena_.BytesOf(region.begin, region.warm_end) - UsedBy(region);
  for (const TilePlace tile : arena_.tiles()) {
    // The system's page that the last page in use shares with the tail stays.
    arena_.GiveBack(at, tile, region.end, arena_.region_pages());
  }
  region.warm_end = region.end;
  region.tiles_due = 0;
}

// Goes on giving back what waits for nobody, for so many tiles of a region.
void RegionCache::TidyUp(size_t tiles) {
  const int64_t idle = committed_bytes_ - used_bytes_;
  if (leaving_.empty() && !warm_.empty() && idle > used_bytes_ / kIdleShare) {
    leaving_.push_back(warm_.front());
    warm_.pop_front();
  }
  for (; tiles > 0 && !leaving_.empty(); --tiles) {
    const int64_t at = leaving_.front();
    if (tiles_gone_ < arena_.tiles().size()) {
      arena_.GiveBack(at, arena_.tiles()[tiles_gone_++], 0, arena_.region_pages());
    }
    if (tiles_gone_ < arena_.tiles().size()) continue;
    committed_bytes_ -= arena_.BytesOf(regions_[at].begin, regions_[at].warm_end);
    regions_[at] = {};
    cold_.push_back(at);
    leaving_.pop_front();
    tiles_gone_ = 0;
  }
}

}  // namespace quire

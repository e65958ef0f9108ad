#include "quire/kv/region_cache.h"

#include <cstring>
#include <optional>
#include <utility>

#include "quire/base/byte_size.h"
#include "quire/base/check.h"
#include "quire/base/clock.h"

// Invariants:
// - used_bytes_ is what the open regions' pages [begin, end) take, in whole pages of the system or huge ones.
// - Main memory is more than the size only while used is; then nothing is ahead of need, and nothing waits.

namespace quire {
namespace {

constexpr int64_t kTrimPages = 16;  // behind a window, that are given back at a time
// Of what is used, the part that may wait for the next one, but that much in any case.
constexpr int64_t kWaitingShare = 32;
constexpr int64_t kWaitingBytes = int64_t{8} << 20;

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

RegionCache::RegionCache(KvLayout layout, std::unique_ptr<RegionMemory> memory, size_t most_bytes)
    : layout_(std::move(layout)), memory_(std::move(memory)), most_bytes_(most_bytes) {}

Result<std::unique_ptr<RegionCache>> RegionCache::Create(KvLayout layout, const RegionCacheOptions& options) {
  const size_t most_bytes = std::max(options.kv_bytes, options.most_bytes);
  QUIRE_ASSIGN(PageArena arena,
               PageArena::Contiguous(layout.page_bytes(), layout.PageCount(options.longest_tokens),
                                     options.sequences * std::ssize(layout.groups())));
  QUIRE_ASSIGN(std::unique_ptr<RegionMemory> memory,
               RegionMemory::Create(std::move(arena), static_cast<int64_t>(most_bytes)));
  std::unique_ptr<RegionCache> cache(new RegionCache(std::move(layout), std::move(memory), most_bytes));
  QUIRE_TRY(cache->Resize(options.kv_bytes));
  return cache;
}

Status RegionCache::Resize(size_t kv_bytes) {
  if (kv_bytes < arena().page_bytes()) {
    return Fail(ErrorCode::kInvalidArgument, "KV memory of {} cannot hold a single page of {}; give more",
                FormatByteSize(kv_bytes), FormatByteSize(arena().page_bytes()));
  }
  if (kv_bytes > most_bytes_) {
    return Fail(ErrorCode::kInvalidArgument, "KV memory of {} is more than the {} that there may be here",
                FormatByteSize(kv_bytes), FormatByteSize(most_bytes_));
  }
  size_bytes_ = static_cast<int64_t>(kv_bytes);
  MakeRoom();
  return {};
}

int64_t RegionCache::BytesOf(bool sliding, int64_t begin, int64_t end) const {
  return begin < end ? EndOf(end, sliding) - memory_->BeginAt(begin * page_bytes()) : 0;
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
  if (pages > arena().region_pages()) return Verdict::kNever;
  int64_t held = 0, wanted = 0;
  for (size_t g = 0; g < table.groups.size(); ++g) {
    const bool sliding = layout_.groups()[g].window > 0;
    const Region region = table.regions.empty() ? Region{.sliding = sliding} : regions_[table.regions[g]];
    held += UsedBy(region);
    wanted += BytesOf(sliding, region.begin, pages);
  }
  if (room == Room::kOfSize && wanted > held && used_bytes_ + wanted - held > size_bytes_) {
    return wanted > size_bytes_ ? Verdict::kNever : Verdict::kWait;
  }
  if (table.regions.empty() && !Open(table)) return Verdict::kWait;

  const Timed timed(commit_s_);
  for (size_t g = 0; g < table.groups.size(); ++g) {
    const int64_t at = table.regions[g];
    Extend(at, pages, tokens > 1);
    if (tokens == 1) CommitAhead(at, table.tokens % layout_.page_tokens());
    const int64_t before = FilledBy(regions_[at], table.tokens);
    filled_tokens_ += FilledBy(regions_[at], table.tokens + tokens) - before;
    std::vector<PageId>& ids = table.groups[g];
    for (; std::ssize(ids) < pages; ++table.pages_held) {
      ids.push_back(static_cast<PageId>(at * arena().region_pages() + std::ssize(ids)));
    }
  }
  table.tokens += tokens;
  MakeRoom();
  return Verdict::kGranted;
}

bool RegionCache::Open(PageTable& table) {
  for (const LayerGroup& group : layout_.groups()) {
    int64_t at = 0;
    if (!memory_->Open(&at, group.window > 0)) {
      for (const int64_t opened : table.regions) Close(opened);
      table.regions.clear();
      return false;
    }
    if (std::ssize(regions_) <= at) regions_.resize(at + 1);
    regions_[at] = {.sliding = group.window > 0};
    table.regions.push_back(at);
  }
  return true;
}

void RegionCache::Close(int64_t at) {
  used_bytes_ -= UsedBy(regions_[at]);
  regions_[at] = {};
  memory_->Close(at);
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
    if (from.empty()) continue;
    std::memcpy(arena().data(fork.groups[g].front()), arena().data(from.front()), from.size() * page_bytes());
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
    if (region.live - region.begin >= kTrimPages) Trim(table.regions[g]);
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
    bytes += BytesOf(group.window > 0, begin, begin > 0 ? end + 1 : end);
  }
  return (bytes + page_bytes() - 1) / page_bytes();
}

KvUsage RegionCache::Usage() const {
  const int64_t total = std::max(size_bytes_, used_bytes_);
  return {.limit = size_bytes_,
          .total = total,
          .committed = memory_->committed() + memory_->waiting(),
          .free = total - used_bytes_,
          .cached = 0,
          .used = used_bytes_,
          .filled = filled_tokens_ * (page_bytes() / layout_.page_tokens()),
          .commit_s = commit_s_};
}

// -- Main memory --------------------------------------------------------------------------------------------

// Pages up to `pages` are used from now on.
void RegionCache::Extend(int64_t at, int64_t pages, bool prompt) {
  Region& region = regions_[at];
  if (pages <= region.end) return;
  used_bytes_ += BytesOf(region.sliding, region.begin, pages) - UsedBy(region);
  region.end = pages;
  memory_->Extend(at, EndOf(pages, region.sliding), prompt);
}

// A sequence has put a token into `slot` of its last page. From the middle of it on, the next one gets
// memory, where there is room.
void RegionCache::CommitAhead(int64_t at, int64_t slot) {
  const Region& region = regions_[at];
  if (2 * slot < layout_.page_tokens() || region.end == arena().region_pages()) return;
  const int64_t end = EndOf(region.end + 1, region.sliding), more = end - memory_->end(at);
  if (more > 0 && memory_->committed() + more <= size_bytes_) memory_->ExtendAhead(at, end);
}

void RegionCache::Trim(int64_t at) {
  Region& region = regions_[at];
  used_bytes_ -= UsedBy(region);
  region.begin = region.live;
  used_bytes_ += UsedBy(region);
  memory_->TrimFront(at, memory_->BeginAt(region.begin * page_bytes()));
}

// What waits for the next one goes until all is within the size, and then what open regions have ahead.
void RegionCache::MakeRoom() {
  const int64_t most = std::max(size_bytes_, used_bytes_);
  if (memory_->committed() > most) memory_->Settle();
  for (int64_t at = 0; at < std::ssize(regions_) && memory_->committed() > most; ++at) {
    memory_->TrimBack(at, EndOf(regions_[at].end, regions_[at].sliding));
  }
  const int64_t waiting = std::max(kWaitingBytes, used_bytes_ / kWaitingShare);
  memory_->LimitWaiting(std::min(waiting, most - memory_->committed()));
}

}  // namespace quire

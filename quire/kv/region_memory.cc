#include "quire/kv/region_memory.h"

#include <algorithm>
#include <utility>

#include "quire/base/check.h"

// Invariants:
// - A closed region has no main memory.
// - Blocks that are huge have main memory in all their bytes; they end at or before their span's end.

namespace quire {
namespace {

constexpr int64_t kSpares = 4;       // huge pages that are ready, of which a prompt takes some at once
constexpr int64_t kLongBlocks = 16;  // from there on a sequence ends in a huge page

int64_t RoundUp(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }
int64_t SystemPage() { return static_cast<int64_t>(SystemPageBytes()); }

}  // namespace

Result<std::unique_ptr<RegionMemory>> RegionMemory::Create(PageArena arena, int64_t most_bytes) {
  std::unique_ptr<RegionMemory> memory(new RegionMemory(std::move(arena)));
  QUIRE_ASSIGN(memory->pool_, HugePagePool::Create(most_bytes / kBlock, kSpares, *memory->thread_));
  return memory;
}

bool RegionMemory::Open(int64_t* region, bool sliding) {
  if (closed_.empty() && regions() == arena_.regions()) Settle();
  for (; !to_close_.empty() && thread_->Done(to_close_.front().ticket); to_close_.pop_front()) {
    closed_.push_back(to_close_.front().region);
  }
  if (closed_.empty()) {
    if (regions() == arena_.regions()) return false;
    closed_.push_back(regions());
    spans_.emplace_back();
  }
  *region = closed_.back();
  closed_.pop_back();
  spans_[*region] = {.sliding = sliding};
  return true;
}

void RegionMemory::Close(int64_t region) {
  const Span span = std::exchange(spans_[region], {});
  int64_t left = span.end - span.begin;
  committed_ -= left;
  for (int64_t block = 0; block < std::ssize(span.huge); ++block) {
    if (span.huge[block] && pool_->Put(arena_.memory().data() + At(region, block * kBlock))) left -= kBlock;
  }
  leaving_ += left;
  last_ = thread_->Run([this, region, left, begin = span.begin, end = span.end] {
    arena_.memory().Renew(At(region, begin), At(region, end));
    leaving_ -= left;
  });
  to_close_.push_back({region, last_});
}

void RegionMemory::Settle() { thread_->Wait(last_); }

int64_t RegionMemory::BeginAt(int64_t byte) const { return byte / SystemPage() * SystemPage(); }

int64_t RegionMemory::EndAt(int64_t byte, bool sliding) const {
  const int64_t end = RoundUp(byte, SystemPage());
  return sliding || end <= kLongBlocks * kBlock ? end : RoundUp(end, kBlock);
}

void RegionMemory::Extend(int64_t region, int64_t end, bool gather) {
  Span& span = spans_[region];
  thread_->Wait(span.ahead);
  committed_ += std::max<int64_t>(0, end - span.end);
  while (span.end < end) {
    const int64_t block = span.end / kBlock, next = std::min(end, (block + 1) * kBlock);
    const bool fills = next % kBlock == 0 && !span.sliding;
    if (fills && TakeBlock(region, block, gather)) {
      span.huge.resize(block + 1);
      span.huge[block] = true;
    } else {
      arena_.memory().Commit(At(region, span.end), At(region, next), PageSize::kSystem);
      if (fills) arena_.memory().AllowHugePages(At(region, block * kBlock), At(region, next));
    }
    span.end = next;
  }
}

void RegionMemory::ExtendAhead(int64_t region, int64_t end) {
  Span& span = spans_[region];
  if (end <= span.end) return;
  if (span.end % kBlock == 0 && end % kBlock == 0) return Extend(region, end, false);
  const int64_t begin = std::exchange(span.end, end);
  committed_ += end - begin;
  span.ahead = last_ = thread_->Run([this, region, begin, end, sliding = span.sliding] {
    arena_.memory().Commit(At(region, begin), At(region, end), PageSize::kSystem);
    const int64_t filled = end / kBlock * kBlock;
    if (filled > begin && !sliding)
      arena_.memory().AllowHugePages(At(region, filled - kBlock), At(region, filled));
  });
}

// A huge page for the block in which the span ends.
bool RegionMemory::TakeBlock(int64_t region, int64_t block, bool gather) {
  const int64_t begin = block * kBlock, held = spans_[region].end - begin;
  if (held > 0 && !gather) return false;
  if (pool_->Take(arena_.memory(), At(region, begin), held)) return true;
  if (held > 0) return false;
  arena_.memory().Commit(At(region, begin), At(region, begin + kBlock), PageSize::kHuge);
  return true;
}

void RegionMemory::TrimFront(int64_t region, int64_t begin) {
  Span& span = spans_[region];
  QUIRE_CHECK(span.sliding && begin <= span.end);
  GiveBack(region, span.begin, begin);
  committed_ -= begin - std::exchange(span.begin, begin);
}

void RegionMemory::TrimBack(int64_t region, int64_t end) {
  Span& span = spans_[region];
  if (end >= span.end) return;
  thread_->Wait(span.ahead);
  GiveBack(region, end, span.end);
  committed_ -= std::exchange(span.end, end) - end;
  span.huge.resize(std::min<size_t>(span.huge.size(), end / kBlock));
}

void RegionMemory::GiveBack(int64_t region, int64_t begin, int64_t end) {
  arena_.memory().GiveBack(At(region, begin), At(region, end));
}

}  // namespace quire

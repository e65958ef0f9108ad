#include "quire/kv/huge_page_pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

// Invariant: every place of memory_ is in ready_, in empty_ or, one at a time, with the thread. Places lie
// apart, which keeps the system's locks for them apart: nobody waits while the thread fills one.

namespace quire {
namespace {

constexpr size_t kDistance = 2 * kHugePageBytes;

}  // namespace

Result<std::unique_ptr<HugePagePool>> HugePagePool::Create(int64_t most, int64_t spares,
                                                           BackgroundThread& thread) {
  QUIRE_ASSIGN(AlignedBuffer memory, AlignedBuffer::Allocate(static_cast<size_t>(most) * kDistance));
  if (most > 0) memory.UseSmallPages();
  return std::unique_ptr<HugePagePool>(new HugePagePool(std::move(memory), most, spares, thread));
}

HugePagePool::HugePagePool(AlignedBuffer memory, int64_t most, int64_t spares, BackgroundThread& thread)
    : memory_(std::move(memory)), spares_(spares), thread_(thread) {
  for (int64_t page = most; page-- > 0;) empty_.push_back(static_cast<size_t>(page) * kDistance);
}

bool HugePagePool::Take(AlignedBuffer& buffer, size_t begin, size_t keep) {
  const std::lock_guard lock(mutex_);
  if (ready_.empty()) return false;
  std::byte* page = memory_.data() + ready_.back();
  std::memcpy(page, buffer.data() + begin, keep);
  if (!buffer.MoveFrom(page, begin, kHugePageBytes)) return false;
  empty_.push_back(ready_.back());
  ready_.pop_back();
  FillUp();
  return true;
}

bool HugePagePool::Put(std::byte* from) {
  const std::lock_guard lock(mutex_);
  if (empty_.empty() || !memory_.MoveFrom(from, empty_.back(), kHugePageBytes)) return false;
  ready_.push_back(empty_.back());
  empty_.pop_back();
  return true;
}

void HugePagePool::Limit(int64_t pages) {
  const std::lock_guard lock(mutex_);
  fill_to_ = std::min(pages, spares_);
  for (; !ready_.empty() && std::ssize(ready_) + filling_.has_value() > pages; ready_.pop_back()) {
    memory_.GiveBack(ready_.back(), ready_.back() + kHugePageBytes);
    empty_.push_back(ready_.back());
  }
  FillUp();
}

int64_t HugePagePool::bytes() const {
  const std::lock_guard lock(mutex_);
  return (std::ssize(ready_) + filling_.has_value()) * static_cast<int64_t>(kHugePageBytes);
}

// REQUIRES: the lock.
void HugePagePool::FillUp() {
  if (filling_ || empty_.empty() || std::ssize(ready_) >= fill_to_) return;
  filling_ = empty_.back();
  empty_.pop_back();
  thread_.Run([this] { FillOne(); });
}

void HugePagePool::FillOne() {
  memory_.Commit(*filling_, *filling_ + kHugePageBytes, PageSize::kHuge);
  const std::lock_guard lock(mutex_);
  ready_.push_back(*filling_);
  filling_.reset();
  FillUp();
}

}  // namespace quire

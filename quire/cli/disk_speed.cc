#include "quire/cli/disk_speed.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#include "quire/base/clock.h"

namespace quire {
namespace {

constexpr size_t kPageBytes = 512 << 10;
constexpr int kPages = 256;
constexpr int kRounds = 3;  // of which the middle one counts: a disk's rate changes by the second

struct DiskSpeed {
  double write = 0, read = 0;  // bytes per second
};

// Lets the system forget what it keeps of the files in memory.
void DropCache(const std::filesystem::path& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

Result<DiskSpeed> MeasureIn(const std::filesystem::path& folder) {
  QUIRE_ASSIGN(const auto store, PageStore::Open({.folder = folder,
                                                  .quota_bytes = (kPages + 1) * (kPageBytes + 4096),
                                                  .page_bytes = kPageBytes,
                                                  .format = "speed",
                                                  .secret = {}}));
  DiskSpeed speed;
  speed.write = MovePages(*store, kPageBytes, kPages, true).bytes_per_second(kPageBytes);
  DropCache(folder);
  speed.read = MovePages(*store, kPageBytes, kPages, false).bytes_per_second(kPageBytes);
  return speed;
}

}  // namespace

MovedPages MovePages(PageStore& store, size_t page_bytes, int pages, bool writes) {
  constexpr int kAtOnce = 32;
  std::vector<std::vector<std::byte>> buffers(kAtOnce, std::vector<std::byte>(page_bytes, std::byte{7}));
  std::vector<uint64_t> free;
  for (int i = 0; i < kAtOnce; ++i) free.push_back(static_cast<uint64_t>(i));
  std::vector<PageTier::Completion> completed;
  MovedPages moved;
  int started = 0;
  const TimePoint start = Clock::System().Now();
  const auto begin = [&] {
    const PageKey key = ChildKey(RootKey("speed"), std::vector<Token>{started});
    std::vector<std::byte>& buffer = buffers[free.back()];
    return writes ? store.StartWrite(key, Moment::kPublished, buffer, 0, free.back())
                  : store.StartRead(key, buffer, free.back());
  };
  while (moved.pages < pages) {
    for (; started < pages && !free.empty() && begin(); ++started) free.pop_back();
    if (std::ssize(free) == kAtOnce) break;
    completed.clear();
    store.TakeCompleted(completed);
    for (const PageTier::Completion& completion : completed) {
      free.push_back(completion.tag);
      moved.failed += completion.ok ? 0 : 1;
      ++moved.pages;
    }
    if (completed.empty()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  moved.seconds = Seconds(Clock::System().Now() - start);
  return moved;
}

Status MeasureDisk(const std::filesystem::path& folder, MachineProfile& profile) {
  const std::filesystem::path own = folder / fmt::format("quire-speed-{}", getpid());
  std::vector<DiskSpeed> rounds;
  for (int round = 0; round < kRounds; ++round) {
    const Result<DiskSpeed> measured = MeasureIn(own);
    std::error_code error;
    std::filesystem::remove_all(own, error);
    if (!measured) return std::unexpected(measured.error());
    rounds.push_back(*measured);
  }
  std::ranges::sort(rounds, {}, &DiskSpeed::write);
  profile.disk_write_bytes_per_s = rounds[kRounds / 2].write;
  std::ranges::sort(rounds, {}, &DiskSpeed::read);
  profile.disk_read_bytes_per_s = rounds[kRounds / 2].read;
  return {};
}

}  // namespace quire

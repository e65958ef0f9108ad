#include "quire/tiers/disk_probe.h"

#include <fcntl.h>
#include <unistd.h>

#include <random>

#include "quire/base/aligned_buffer.h"
#include "quire/base/clock.h"

namespace quire {
namespace {

constexpr int64_t kLarge = 4 << 20, kSmall = 4096;

// Writes what no disk can leave out or compress.
bool Fill(int file, AlignedBuffer& buffer) {
  std::mt19937_64 random(1);
  auto* const words = reinterpret_cast<uint64_t*>(buffer.data());
  for (size_t i = 0; i < buffer.bytes() / sizeof(*words); ++i) words[i] = random();
  const auto bytes = static_cast<ssize_t>(buffer.bytes());
  return pwrite(file, buffer.data(), buffer.bytes(), 0) == bytes && fdatasync(file) == 0;
}

}  // namespace

void ProbeReads(const std::filesystem::path& path,
                const std::function<void(int64_t bytes, double seconds)>& learn) {
  auto buffer = AlignedBuffer::Allocate(2 * kLarge);
  if (!buffer) return;
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return;
  if (Fill(file, *buffer)) {
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    fcntl(file, F_SETFL, O_DIRECT);  // not every file system can; then the advice has to do
    for (const auto& [bytes, at] : {std::pair{kSmall, 0 * kLarge}, {kLarge, kLarge}, {kSmall, kLarge / 2}}) {
      const TimePoint begin = Clock::System().Now();
      if (pread(file, buffer->data(), static_cast<size_t>(bytes), at) == bytes) {
        learn(bytes, Seconds(Clock::System().Now() - begin));
      }
    }
  }
  close(file);
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

}  // namespace quire

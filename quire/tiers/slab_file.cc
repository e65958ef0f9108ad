#include "quire/tiers/slab_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace quire {
namespace {

constexpr size_t kAlignment = 4096;     // of slots
constexpr int64_t kChunk = 32LL << 20;  // the file grows by

// Reads or writes all of both parts, or fails.
template <typename Transfer>
bool TransferAll(Transfer transfer, std::span<std::byte> page, std::span<std::byte> trailer, int64_t at) {
  iovec parts[2] = {{page.data(), page.size()}, {trailer.data(), trailer.size()}};
  iovec* next = parts;
  while (next != std::end(parts)) {
    const ssize_t moved = transfer(next, static_cast<int>(std::end(parts) - next), at);
    if (moved < 0 && errno == EINTR) continue;
    if (moved == 0) errno = EIO;  // the file ends here
    if (moved <= 0) return false;
    at += moved;
    for (auto left = static_cast<size_t>(moved); left > 0;) {
      const size_t part = std::min(left, next->iov_len);
      next->iov_base = static_cast<std::byte*>(next->iov_base) + part;
      next->iov_len -= part;
      left -= part;
      if (next->iov_len == 0) ++next;
    }
  }
  return true;
}

}  // namespace

Status SlabFile::Open(const std::filesystem::path& path, size_t page_bytes, int64_t max_bytes) {
  max_bytes_ = max_bytes;
  slot_bytes_ = (page_bytes + sizeof(PageTrailer) + kAlignment - 1) / kAlignment * kAlignment;
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct stat facts{};
  if (fd_ < 0 || fstat(fd_, &facts) != 0) {
    return Fail(ErrorCode::kIo, "{}: cannot be opened for KV pages: {}", path.string(), std::strerror(errno));
  }
  room_ = facts.st_size;
  if (room_ > max_bytes_ && ftruncate(fd_, max_bytes_) == 0) room_ = max_bytes_;
  return {};
}

SlabFile::~SlabFile() {
  if (fd_ >= 0) close(fd_);
}

bool SlabFile::Read(uint32_t slot, std::span<std::byte> page, PageTrailer& trailer) const {
  const auto read = [&](const iovec* parts, int count, int64_t at) { return preadv(fd_, parts, count, at); };
  return TransferAll(read, page, trailer, static_cast<int64_t>(slot * slot_bytes_));
}

bool SlabFile::Write(uint32_t slot, std::span<const std::byte> page, const PageTrailer& trailer) {
  const auto begin = static_cast<int64_t>(slot * slot_bytes_);
  if (!TakeRoom(begin + static_cast<int64_t>(slot_bytes_))) return false;
  const auto write = [&](const iovec* parts, int count, int64_t at) {
    return pwritev(fd_, parts, count, at);
  };
  // An iovec is not const whichever way the bytes go.
  const std::span<std::byte> from(const_cast<std::byte*>(page.data()), page.size());
  PageTrailer copy = trailer;
  return TransferAll(write, from, copy, begin);
}

bool SlabFile::TakeRoom(int64_t end) {
  const std::lock_guard lock(mutex_);
  if (end <= room_) return true;
  const int64_t wanted = std::min((end + kChunk - 1) / kChunk * kChunk, max_bytes_);
  if (const int error = posix_fallocate(fd_, room_, wanted - room_); error != 0) {
    errno = error;
    return false;
  }
  room_ = wanted;
  return true;
}

}  // namespace quire

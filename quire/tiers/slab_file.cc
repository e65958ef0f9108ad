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

// So many bytes of it were moved. True when none are left.
bool Advance(SlabTransfer& transfer, int64_t moved) {
  transfer.at += moved;
  size_t whole = 0;
  for (auto left = static_cast<size_t>(moved); whole < transfer.parts.size(); ++whole) {
    iovec& part = transfer.parts[whole];
    if (left < part.iov_len) {
      part.iov_base = static_cast<std::byte*>(part.iov_base) + left;
      part.iov_len -= left;
      break;
    }
    left -= part.iov_len;
  }
  transfer.parts.erase(transfer.parts.begin(), transfer.parts.begin() + static_cast<int64_t>(whole));
  return transfer.parts.empty();
}

}  // namespace

Status SlabFile::Open(const std::filesystem::path& path, size_t page_bytes, int64_t max_bytes) {
  max_bytes_ = max_bytes;
  page_bytes_ = page_bytes;
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

SlabTransfer SlabFile::Plan(bool writes, uint32_t slot, std::span<SlabPage> pages) const {
  SlabTransfer transfer{.writes = writes,
                        .parts = {},
                        .at = static_cast<int64_t>(slot) * static_cast<int64_t>(slot_bytes_),
                        .padding = std::vector<std::byte>(slot_bytes_ - page_bytes_ - sizeof(PageTrailer))};
  for (SlabPage& page : pages) {
    if (!transfer.parts.empty()) transfer.parts.push_back({transfer.padding.data(), transfer.padding.size()});
    transfer.parts.push_back({page.bytes.data(), page.bytes.size()});
    transfer.parts.push_back({page.trailer.data(), page.trailer.size()});
  }
  return transfer;
}

bool SlabFile::Move(SlabTransfer& transfer) const {
  while (true) {
    const auto count = static_cast<int>(transfer.parts.size());
    const ssize_t moved = transfer.writes ? pwritev(fd_, transfer.parts.data(), count, transfer.at)
                                          : preadv(fd_, transfer.parts.data(), count, transfer.at);
    if (moved < 0 && errno == EINTR) continue;
    if (moved == 0) errno = EIO;  // the file ends here
    if (moved <= 0) return false;
    if (Advance(transfer, moved)) return true;
  }
}

bool SlabFile::TakeRoomFor(const SlabTransfer& transfer, size_t pages) {
  return TakeRoom(transfer.at + static_cast<int64_t>(pages * slot_bytes_));
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

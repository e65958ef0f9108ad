#include "quire/base/aligned_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "quire/base/check.h"

namespace quire {

size_t SystemPageBytes() {
  static const size_t bytes = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

Result<AlignedBuffer> AlignedBuffer::Allocate(size_t bytes) {
  AlignedBuffer buffer;
  if (bytes == 0) return buffer;
  void* address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return Fail(ErrorCode::kResourceExhausted, "cannot reserve {} MiB of memory: {}", bytes >> 20,
                std::strerror(errno));
  }
  ::madvise(address, bytes, MADV_HUGEPAGE);  // advice: the system may have no huge pages
  buffer.data_ = static_cast<std::byte*>(address);
  buffer.bytes_ = bytes;
  return buffer;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

void AlignedBuffer::UseSmallPages() {
  if (!std::exchange(small_pages_, true)) ::madvise(data_, bytes_, MADV_NOHUGEPAGE);
}

void AlignedBuffer::Commit(size_t begin, size_t end) {
  QUIRE_CHECK(begin <= end && end <= bytes_);
#ifdef MADV_POPULATE_WRITE
  if (begin == end || ::madvise(data_ + begin, end - begin, MADV_POPULATE_WRITE) == 0) return;
#endif
  for (; begin < end; begin += SystemPageBytes()) *static_cast<volatile std::byte*>(data_ + begin) = {};
}

void AlignedBuffer::GiveBack(size_t begin, size_t end) {
  QUIRE_CHECK(begin <= end && end <= bytes_);
  UseSmallPages();
  const size_t page = SystemPageBytes();
  begin = (begin + page - 1) / page * page;
  if (end < bytes_) end = end / page * page;
  // It fails only where memory is locked, and then keeps it.
  if (begin < end) ::madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

}  // namespace quire

#include "quire/base/aligned_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
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
  const size_t slack = bytes < kHugePageBytes ? 0 : kHugePageBytes;
  void* address = ::mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return Fail(ErrorCode::kResourceExhausted, "cannot reserve {} MiB of memory: {}", bytes >> 20,
                std::strerror(errno));
  }
  buffer.data_ = static_cast<std::byte*>(address);
  buffer.bytes_ = bytes;
  if (slack > 0) buffer.AlignWithin(slack);
  ::madvise(buffer.data_, bytes, MADV_HUGEPAGE);  // advice: the system may have no huge pages
  return buffer;
}

// Gives back what of the `slack` lies before the first huge page, and what is left of it behind the bytes.
void AlignedBuffer::AlignWithin(size_t slack) {
  const size_t before = -reinterpret_cast<uintptr_t>(data_) % kHugePageBytes;
  const size_t end = (before + bytes_ + SystemPageBytes() - 1) / SystemPageBytes() * SystemPageBytes();
  const size_t mapped = (bytes_ + slack + SystemPageBytes() - 1) / SystemPageBytes() * SystemPageBytes();
  if (before > 0) ::munmap(data_, before);
  if (end < mapped) ::munmap(data_ + end, mapped - end);
  data_ += before;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

void AlignedBuffer::UseSmallPages() {
  if (small_pages_) return;  // and writes nothing: other threads may look
  small_pages_ = true;
  ::madvise(data_, bytes_, MADV_NOHUGEPAGE);
}

void AlignedBuffer::Commit(size_t begin, size_t end, PageSize size) {
  QUIRE_CHECK(begin <= end && end <= bytes_);
  if (begin == end) return;
  const bool huge = size == PageSize::kHuge;
  ::madvise(data_ + begin, end - begin, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#ifdef MADV_POPULATE_WRITE
  // Nobody else can take or move memory meanwhile, so huge pages, which take long, are touched instead.
  if (!huge && ::madvise(data_ + begin, end - begin, MADV_POPULATE_WRITE) == 0) return;
#endif
  for (; begin < end; begin += SystemPageBytes()) *static_cast<volatile std::byte*>(data_ + begin) = {};
}

void AlignedBuffer::AllowHugePages(size_t begin, size_t end) {
  QUIRE_CHECK(begin <= end && end <= bytes_);
  ::madvise(data_ + begin, end - begin, MADV_HUGEPAGE);
}

bool AlignedBuffer::MoveFrom(std::byte* from, size_t begin, size_t bytes) {
  QUIRE_CHECK(begin + bytes <= bytes_);
#ifdef MREMAP_DONTUNMAP
  constexpr int kHow = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
  return ::mremap(from, bytes, bytes, kHow, data_ + begin) != MAP_FAILED;
#else
  return false;
#endif
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

void AlignedBuffer::Renew(size_t begin, size_t end) {
  QUIRE_CHECK(begin <= end && end <= bytes_ && small_pages_);
  if (begin == end) return;
  constexpr int kHow = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  if (::mmap(data_ + begin, end - begin, PROT_READ | PROT_WRITE, kHow, -1, 0) == MAP_FAILED) {
    return GiveBack(begin, end);
  }
  ::madvise(data_ + begin, end - begin, MADV_NOHUGEPAGE);
}

}  // namespace quire

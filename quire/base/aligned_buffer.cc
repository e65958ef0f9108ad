#include "quire/base/aligned_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace quire {

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

}  // namespace quire

// A fixed block of zeroed memory straight from the system, aligned to a system page, in huge pages where the
// system has them. For the large arenas: packed weights, KV pages, activations.
#ifndef QUIRE_BASE_ALIGNED_BUFFER_H_
#define QUIRE_BASE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <span>
#include <utility>

#include "quire/base/result.h"

namespace quire {

class AlignedBuffer {
 public:
  // Reserves `bytes`; physical memory is taken when it is first touched. kResourceExhausted on refusal.
  static Result<AlignedBuffer> Allocate(size_t bytes);

  AlignedBuffer() = default;
  AlignedBuffer(AlignedBuffer&& other) noexcept { *this = std::move(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(small_pages_, other.small_pages_);
    return *this;
  }
  ~AlignedBuffer();

  // Takes the physical memory of bytes [begin, end) at once, which must hold nothing.
  // REQUIRES: both are multiples of SystemPageBytes(), or the end of the buffer.
  void Commit(size_t begin, size_t end);
  // Gives the physical memory of the system's pages that lie in bytes [begin, end) back to it: they are zero
  // when they are next touched.
  void GiveBack(size_t begin, size_t end);
  // From now on memory is taken in the system's smallest pages: those that are given back leave holes, which
  // the system would fill again to make huge pages.
  void UseSmallPages();

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  bool small_pages_ = false;
};

// Of the system: what memory is taken and given back in.
size_t SystemPageBytes();

}  // namespace quire

#endif  // QUIRE_BASE_ALIGNED_BUFFER_H_

// A fixed block of zeroed memory straight from the system, in huge pages where the system has them, and
// aligned to these, or to a system page if it is smaller. For the large arenas: packed weights, KV pages,
// activations.
#ifndef QUIRE_BASE_ALIGNED_BUFFER_H_
#define QUIRE_BASE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <span>
#include <utility>

#include "quire/base/result.h"

namespace quire {

inline constexpr size_t kHugePageBytes = size_t{2} << 20;
enum class PageSize { kSystem, kHuge };

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

  // Takes the physical memory of bytes [begin, end) at once, which must hold nothing, in pages of that size
  // as far as the system has them. REQUIRES: both are multiples of SystemPageBytes(), or the end of the
  // buffer.
  void Commit(size_t begin, size_t end, PageSize size);
  // The system may gather bytes [begin, end), which have physical memory, in huge pages when it has time.
  void AllowHugePages(size_t begin, size_t end);
  // Moves the physical memory of the bytes at `from` to those at `begin`, without copying: `from` is zero
  // when it is next touched, and what was at `begin` is lost. False where the system cannot; then nothing
  // changed. REQUIRES: both begin where a system page does, and `bytes` are whole ones.
  bool MoveFrom(std::byte* from, size_t begin, size_t bytes);
  // Gives the physical memory of the system's pages that lie in bytes [begin, end) back to it: they are zero
  // when they are next touched.
  void GiveBack(size_t begin, size_t end);
  // The same, and lets the system forget what pages were moved in there, which it keeps a list of.
  // REQUIRES: both are multiples of SystemPageBytes(), and the buffer uses small pages.
  void Renew(size_t begin, size_t end);
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
  void AlignWithin(size_t slack);

  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  bool small_pages_ = false;
};

// Of the system: what memory is taken and given back in.
size_t SystemPageBytes();

}  // namespace quire

#endif  // QUIRE_BASE_ALIGNED_BUFFER_H_

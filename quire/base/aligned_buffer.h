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
    return *this;
  }
  ~AlignedBuffer();

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace quire

#endif  // QUIRE_BASE_ALIGNED_BUFFER_H_

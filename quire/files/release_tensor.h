// Giving the memory of one tensor back to the system.
#ifndef QUIRE_FILES_RELEASE_TENSOR_H_
#define QUIRE_FILES_RELEASE_TENSOR_H_

#include <functional>

#include "quire/base/mapped_file.h"
#include "quire/kernels/tensor_view.h"

namespace quire {

// Releases the tensor's bytes where they lie in `file`; does nothing where they lie elsewhere.
inline void ReleaseFrom(const MappedFile& file, const TensorView& tensor) {
  const std::less_equal<const std::byte*> not_after;
  const std::span<const std::byte> all = file.bytes();
  const std::span<const std::byte> mine = tensor.data;
  if (not_after(all.data(), mine.data()) && not_after(mine.data() + mine.size(), all.data() + all.size())) {
    file.Release(mine);
  }
}

}  // namespace quire

#endif  // QUIRE_FILES_RELEASE_TENSOR_H_

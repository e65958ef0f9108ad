// What every fuzz target of a file format checks of its results.
#ifndef QUIRE_FUZZ_FUZZ_CHECKS_H_
#define QUIRE_FUZZ_FUZZ_CHECKS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "quire/base/check.h"
#include "quire/base/result.h"
#include "quire/kernels/tensor_view.h"

namespace quire {

// One line that begins with the file.
inline void CheckMessage(const Error& error, std::string_view file) {
  QUIRE_CHECK(error.message.starts_with(file));
  QUIRE_CHECK(std::ranges::all_of(error.message, [](unsigned char c) { return c >= 0x20; }));
}

// The shape fits the bytes, and the bytes can be read.
inline void CheckTensor(const TensorView& view) {
  QUIRE_CHECK(view.rank >= 0 && view.rank <= TensorView::kMaxRank);
  QUIRE_CHECK(view.rows() > 0 && view.cols() > 0);
  QUIRE_CHECK(view.data.size() == static_cast<size_t>(view.rows()) * view.row_bytes());
  uint32_t sum = 0;
  for (const std::byte byte : view.data) sum += static_cast<uint32_t>(byte);
  [[maybe_unused]] static volatile uint32_t keep;
  keep = sum;
}

}  // namespace quire

#endif  // QUIRE_FUZZ_FUZZ_CHECKS_H_

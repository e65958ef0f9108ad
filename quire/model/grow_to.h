// Memory that steps use again.
#ifndef QUIRE_MODEL_GROW_TO_H_
#define QUIRE_MODEL_GROW_TO_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <vector>

namespace quire {

// By doubling, so that sequences that get longer page by page take memory a few times in all.
template <typename T>
void GrowTo(std::vector<T>& vector, size_t size) {
  constexpr size_t kLeast = 64;
  if (vector.size() < size) vector.resize(std::bit_ceil(std::max(size, kLeast)));
}

}  // namespace quire

#endif  // QUIRE_MODEL_GROW_TO_H_

// A page of KV that no model computed, for benchmarks and tests: attention takes the same time over random
// keys and values as over those of a text.
#ifndef QUIRE_KV_RANDOM_PAGE_H_
#define QUIRE_KV_RANDOM_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "quire/kv/kv_layout.h"

namespace quire {

// Keys and values of standard normal distribution for every layer, head and token of one page of a group,
// with their summaries.
std::vector<std::byte> RandomPage(const KvLayout& layout, size_t group, uint32_t seed = 2);

}  // namespace quire

#endif  // QUIRE_KV_RANDOM_PAGE_H_

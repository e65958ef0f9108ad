// Layouts of several types over one pool: their pages have equal bytes, so a page of fewer bits holds more
// tokens, and any page can be any sequence's.
#ifndef QUIRE_KV_EQUAL_PAGES_H_
#define QUIRE_KV_EQUAL_PAGES_H_

#include <span>
#include <vector>

#include "quire/kv/kv_layout.h"

namespace quire {

// The bytes of pages for layouts of which kPageLane tokens take `lane_bytes`: at least `least`, and less than
// a lane of the first more; of those, what leaves the least empty of the layout that it fits worst.
// REQUIRES: there is a layout.
size_t EqualPageBytes(std::span<const size_t> lane_bytes, size_t least);

// A layout for each of `choices`, which are the layers' types and windows; pages of the first have at least
// `page_tokens` tokens, and exactly those where it is alone. REQUIRES: there is a choice; those of KvLayout.
std::vector<KvLayout> LayoutsOverEqualPages(std::span<const std::vector<LayerKv>> choices, int kv_heads,
                                            int head_dim, int page_tokens);

}  // namespace quire

#endif  // QUIRE_KV_EQUAL_PAGES_H_

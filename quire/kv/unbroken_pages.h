// Where a sequence can go on: the layers of a group with a sliding window need only the pages that a query at
// that position sees, and those without a gap; the layers of full attention need all.
#ifndef QUIRE_KV_UNBROKEN_PAGES_H_
#define QUIRE_KV_UNBROKEN_PAGES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "quire/kv/kv_layout.h"
#include "quire/kv/page_table.h"

namespace quire {

class UnbrokenPages {
 public:
  // The first `pages` pages of the table.
  UnbrokenPages(const KvLayout& layout, const PageTable& table, int64_t pages)
      : layout_(layout), from_(layout.groups().size(), 0) {
    for (size_t g = 0; g < from_.size(); ++g) {
      if (layout.groups()[g].window == 0) continue;
      from_[g] = pages;
      while (from_[g] > 0 && table.groups[g][from_[g] - 1] != kNoPage) --from_[g];
    }
  }
  // Pages are looked at in their order; the group has none at `index`.
  void Lacks(size_t group, int64_t index) { from_[group] = index + 1; }
  // Whether all that a query at `position`, after the pages that were looked at, sees is there.
  bool ReachTo(int64_t position) const {
    for (size_t g = 0; g < from_.size(); ++g) {
      if (from_[g] > layout_.FirstVisiblePage(g, position)) return false;
    }
    return true;
  }

 private:
  const KvLayout& layout_;
  std::vector<int64_t> from_;  // by group: no page is missing from here on
};

}  // namespace quire

#endif  // QUIRE_KV_UNBROKEN_PAGES_H_

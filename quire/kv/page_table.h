// The pages of one sequence: for each layer group, the page of every page_tokens consecutive positions. A
// page that left a sliding window is kNoPage. `tokens` positions are reserved; the sequence may write K and V
// into any of them. A table that left pages out has closed the gap: the next token is the (tokens +
// left_out)th of its text.
#ifndef QUIRE_KV_PAGE_TABLE_H_
#define QUIRE_KV_PAGE_TABLE_H_

#include <cstdint>
#include <vector>

#include "quire/kv/page_arena.h"

namespace quire {

struct PrefixNode;

struct PageTable {
  std::vector<std::vector<PageId>> groups = {};  // [group][position / page_tokens]
  std::vector<int64_t> regions = {};  // of a contiguous arena, by group: page i is the i-th of the region
  int layout = 0;                     // which of the cache's layouts its pages have
  int64_t tokens = 0;
  int64_t left_out = 0;    // tokens that were in the table and left it: what comes next does not see them
  int64_t pages_held = 0;  // over all groups, without kNoPage; shared ones too
  PrefixNode* prefix = nullptr;  // the deepest node of the prefix index on its path, once it has one

  bool empty() const { return tokens == 0; }
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_TABLE_H_

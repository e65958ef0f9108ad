// What policies that select by a score a page share: heads that choose together, and as many of the best
// pages as a budget allows.
#ifndef QUIRE_POLICIES_PAGE_BUDGET_H_
#define QUIRE_POLICIES_PAGE_BUDGET_H_

#include <cstdint>
#include <span>
#include <vector>

#include "quire/policies/policy_spec.h"
#include "quire/policies/selection.h"

namespace quire {

// One score a page for all heads, combine(so far, of the next head), in place of the first head's.
template <class Combine>
std::span<float> OverHeads(const SelectionFacts& facts, Combine combine) {
  const std::span<float> all = facts.scores.first(facts.pages);
  for (auto head = facts.scores.subspan(facts.pages); !head.empty(); head = head.subspan(facts.pages)) {
    for (int64_t page = 0; page < facts.pages; ++page) all[page] = combine(all[page], head[page]);
  }
  return all;
}

// Which layers select, and how much their queries read.
class PageBudget {
 public:
  static constexpr PolicyParam kParams[] = {
      {"budget", 0.25, 0.001, 1, "share of the pages that a query reads"},
      {"dense_layers", 2, 0, 1000, "so many layers, the first ones, read everything"},
  };
  // Of a policy with these parameters.
  explicit PageBudget(const PolicyParams& params)
      : budget_(params["budget"]), dense_layers_(static_cast<int>(params["dense_layers"])) {}

  bool Selects(int layer) const { return layer >= dense_layers_; }
  // Sets `pages` to the first page, on which attention leans whatever it says, the latest, and those of the
  // highest scores, in ascending order: the budget's share of all, of which the query's own is one more, and
  // a few at least. `scores` are overwritten.
  void Choose(std::span<float> scores, std::vector<int64_t>& pages) const;

 private:
  const double budget_;
  const int dense_layers_;
};

}  // namespace quire

#endif  // QUIRE_POLICIES_PAGE_BUDGET_H_

// The selection family: which pages of a sequence a query reads, in the layers that may select. Nothing
// leaves: what one query does not read, the next one may. A policy sees what summaries of pages tell about
// scores and returns pages; model's SelectedAttention carries it out.
//
// To add one: a file in selection/ that defines its SelectionRow, a line in selection_table.cc, a line in
// CMakeLists.txt.
#ifndef QUIRE_POLICIES_SELECTION_H_
#define QUIRE_POLICIES_SELECTION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/kernels/page_summary.h"
#include "quire/policies/policy_spec.h"

namespace quire {

// Of a query: the pages before its own, which are full. Its own page is always read.
struct SelectionFacts {
  int64_t pages = 0;
  // [heads][pages]: the highest score, scaled, of a key of the page with each of the query heads that read
  // the same keys: with summaries of extremes what it can be at most, with codes what it is, nearly. May be
  // overwritten.
  std::span<float> scores;
};

// Select is called by several threads at once.
class SelectionPolicy {
 public:
  virtual ~SelectionPolicy() = default;
  // Whether queries of the layer select; else they read everything.
  virtual bool Selects(int layer) const = 0;
  // Of the keys, what the policy looks at.
  virtual SummaryKind summaries() const = 0;
  // Sets `pages` to those that are read, in ascending order. REQUIRES: there is a page.
  virtual void Select(const SelectionFacts& facts, std::vector<int64_t>& pages) const = 0;
};

struct SelectionRow {
  std::string_view name;
  std::string_view summary;
  std::span<const PolicyParam> params;
  std::unique_ptr<SelectionPolicy> (*make)(const PolicyParams& params);
};

// All rows, sorted by name.
std::span<const SelectionRow* const> SelectionTable();

// Makes the policy that `spec` names ("quest:budget=0.125"). Errors: kInvalidArgument, naming the known ones.
Result<std::unique_ptr<SelectionPolicy>> MakeSelectionPolicy(std::string_view spec);

}  // namespace quire

#endif  // QUIRE_POLICIES_SELECTION_H_

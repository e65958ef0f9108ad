// What:   a query reads the pages whose keys can score highest with it, a share of all, and always the first
//         and the latest one.
// Source: Quest (Tang et al. 2024, section 3.3); its first two layers, whose attention is spread, read all.
//         Heads that share keys choose together: a page counts by the highest bound of any.
// Facts:  bounds on scores. Cost: O(pages) a query and layer, and the summaries' bytes for every page.
// Good:   questions about a long text, whatever is asked next: all of it stays.
// Loses:  what is spread over more pages than the budget; what hides among keys whose bounds exceed them all
//         (lowbit finds it). Memory is as much as without, and summaries more.
#include <algorithm>

#include "quire/policies/page_budget.h"
#include "quire/policies/selection.h"

namespace quire {
namespace {

class Quest final : public SelectionPolicy {
 public:
  explicit Quest(const PolicyParams& params) : budget_(params) {}

  bool Selects(int layer) const override { return budget_.Selects(layer); }
  SummaryKind summaries() const override { return SummaryKind::kExtremes; }

  void Select(const SelectionFacts& facts, std::vector<int64_t>& pages) const override {
    budget_.Choose(OverHeads(facts, [](float a, float b) { return std::max(a, b); }), pages);
  }

 private:
  const PageBudget budget_;
};

}  // namespace

extern const SelectionRow kQuestSelection{
    .name = "quest",
    .summary = "the pages whose keys can score highest with the query, and the first and latest",
    .params = PageBudget::kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<SelectionPolicy> {
      return std::make_unique<Quest>(params);
    }};

}  // namespace quire

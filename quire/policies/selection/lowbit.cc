// What:   a query reads the pages whose best key takes the largest share of its attention, as keys of 4 bits
//         tell, a share of all, and always the first and the latest one.
// Source: SpeCache (Jie et al. 2025, section 3), whose low-bit copy of the KV tells what will be attended to.
//         Heads that share keys choose together: what each would give a page, of 1 for all, is added up.
// Facts:  scores of codes. Cost: O(tokens) a query and layer, in a seventh of the bytes of 16-bit keys and
//         values.
// Good:   questions about a long text, whatever is asked next: all of it stays, and little is overlooked.
// Loses:  what is spread over more pages than the budget. Memory is as much as without, and codes more.
#include <algorithm>
#include <cmath>
#include <functional>

#include "quire/policies/page_budget.h"
#include "quire/policies/selection.h"

namespace quire {
namespace {

class LowBit final : public SelectionPolicy {
 public:
  explicit LowBit(const PolicyParams& params) : budget_(params) {}

  bool Selects(int layer) const override { return budget_.Selects(layer); }
  SummaryKind summaries() const override { return SummaryKind::kCodes; }

  void Select(const SelectionFacts& facts, std::vector<int64_t>& pages) const override {
    for (auto head = facts.scores; !head.empty(); head = head.subspan(facts.pages)) {
      Softmax(head.first(facts.pages));
    }
    budget_.Choose(OverHeads(facts, std::plus<>()), pages);
  }

 private:
  static void Softmax(std::span<float> scores) {
    const float top = std::ranges::max(scores);
    float sum = 0;
    for (float& score : scores) sum += score = std::exp(score - top);
    for (float& score : scores) score /= sum;
  }

  const PageBudget budget_;
};

}  // namespace

extern const SelectionRow kLowBitSelection{
    .name = "lowbit",
    .summary = "the pages that take most of the attention by keys of 4 bits, and the first and latest",
    .params = PageBudget::kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<SelectionPolicy> {
      return std::make_unique<LowBit>(params);
    }};

}  // namespace quire

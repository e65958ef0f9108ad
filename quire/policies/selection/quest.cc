// What:   a query reads the pages whose keys can score highest with it, a share of all, and always the first
//         and the latest one.
// Source: Quest (Tang et al. 2024, section 3.3); its first two layers, whose attention is spread, read all.
//         Heads that share keys choose together: a page counts by the highest bound of any.
// Facts:  bounds on scores. Cost: O(pages) a query and layer, and the summaries' bytes for every page.
// Good:   questions about a long text, whatever is asked next: all of it stays.
// Loses:  what is spread over more pages than the budget; memory is as much as without, and summaries more.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "quire/policies/selection.h"

namespace quire {
namespace {

// The first page, on which attention leans whatever it says, the latest, the query's own, and one to choose.
constexpr int64_t kLeastPages = 4;

class Quest final : public SelectionPolicy {
 public:
  Quest(double budget, double dense_layers)
      : budget_(budget), dense_layers_(static_cast<int>(dense_layers)) {}

  bool Selects(int layer) const override { return layer >= dense_layers_; }

  void Select(const SelectionFacts& facts, std::vector<int64_t>& pages) const override {
    pages.resize(facts.pages);
    std::iota(pages.begin(), pages.end(), 0);
    // The query's own page counts.
    const auto share = std::llround(budget_ * static_cast<double>(facts.pages + 1));
    const int64_t chosen = std::max<int64_t>(kLeastPages, share) - 1;
    if (chosen >= facts.pages) return;
    const std::span<float> best = HighestOf(facts);
    best.front() = best.back() = std::numeric_limits<float>::infinity();
    const auto better = [&](int64_t a, int64_t b) {
      return best[a] > best[b] || (best[a] == best[b] && a < b);
    };
    std::ranges::nth_element(pages, pages.begin() + chosen, better);
    pages.resize(chosen);
    std::ranges::sort(pages);
  }

 private:
  // By page, the highest of all heads.
  static std::span<float> HighestOf(const SelectionFacts& facts) {
    const std::span<float> best = facts.bounds.first(facts.pages);
    for (auto head = facts.bounds.subspan(facts.pages); !head.empty(); head = head.subspan(facts.pages)) {
      for (int64_t page = 0; page < facts.pages; ++page) best[page] = std::max(best[page], head[page]);
    }
    return best;
  }

  const double budget_;
  const int dense_layers_;
};

constexpr PolicyParam kParams[] = {
    {"budget", 0.25, 0.001, 1, "share of the pages that a query reads"},
    {"dense_layers", 2, 0, 1000, "so many layers, the first ones, read everything"},
};

}  // namespace

extern const SelectionRow kQuestSelection{
    .name = "quest",
    .summary = "the pages whose keys can score highest with the query, and the first and latest",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<SelectionPolicy> {
      return std::make_unique<Quest>(params["budget"], params["dense_layers"]);
    }};

}  // namespace quire

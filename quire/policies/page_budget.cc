#include "quire/policies/page_budget.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace quire {
namespace {

// The first, the latest, the query's own, and one to choose.
constexpr int64_t kLeastPages = 4;

}  // namespace

void PageBudget::Choose(std::span<float> scores, std::vector<int64_t>& pages) const {
  const int64_t all = std::ssize(scores);
  pages.resize(all);
  std::iota(pages.begin(), pages.end(), 0);
  const auto share = std::llround(budget_ * static_cast<double>(all + 1));
  const int64_t chosen = std::max<int64_t>(kLeastPages, share) - 1;
  if (chosen >= all) return;
  scores.front() = scores.back() = std::numeric_limits<float>::infinity();
  const auto better = [&](int64_t a, int64_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  };
  std::ranges::nth_element(pages, pages.begin() + chosen, better);
  pages.resize(chosen);
  std::ranges::sort(pages);
}

}  // namespace quire

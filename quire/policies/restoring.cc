#include "quire/policies/restoring.h"

#include <algorithm>
#include <vector>

namespace quire {
namespace {

// Of the tokens from `position` on, in steps that compute nothing else.
double SecondsToCompute(const RestoreFacts& facts, int64_t position) {
  const int64_t tokens = facts.tokens - position;
  StepWork work;
  work.Add(position, tokens, true);
  const auto steps = static_cast<double>((tokens + facts.step_tokens - 1) / facts.step_tokens);
  return facts.computation.Seconds(work) + (steps - 1) * facts.computation.Seconds({});
}

// The tiers work beside each other.
double SecondsToMove(const RestoreFacts& facts, std::span<const int64_t> bytes) {
  double seconds = 0;
  for (size_t tier = 0; tier < bytes.size(); ++tier) {
    if (bytes[tier] == 0) continue;
    const auto& [read_time, bytes_before] = facts.tiers[tier];
    seconds = std::max(seconds, read_time.Seconds(bytes_before + bytes[tier]));
  }
  return seconds;
}

}  // namespace

size_t PagesToRestore(const RestoreFacts& facts) {
  double least = SecondsToCompute(facts, facts.position);
  const bool unknown = !facts.computation.TellsTokensApart();
  size_t best = 0;
  std::vector<int64_t> bytes(facts.tiers.size(), 0);
  for (size_t i = 0; i < facts.pages.size(); ++i) {
    const PageBelow& page = facts.pages[i];
    bytes[page.tier] += page.bytes;
    if (!page.end) continue;
    const int64_t position =
        (facts.position / facts.page_tokens + static_cast<int64_t>(i) + 1) * facts.page_tokens;
    const double seconds = SecondsToMove(facts, bytes) + SecondsToCompute(facts, position);
    if (!unknown && seconds > least) continue;
    least = seconds;
    best = i + 1;
  }
  return best;
}

}  // namespace quire

// What the scheduling policies do alike: sort by a key, and choose who makes room.
#ifndef QUIRE_POLICIES_SCHEDULING_ORDERING_H_
#define QUIRE_POLICIES_SCHEDULING_ORDERING_H_

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "quire/policies/scheduling.h"

namespace quire {

// Indices into `facts`, smallest key first; keys must differ, so they end with the id.
template <typename Key>
std::vector<int> SortedBy(std::span<const SequenceFacts> facts, Key&& key) {
  std::vector<std::pair<decltype(key(facts[0])), int>> keyed;
  keyed.reserve(facts.size());
  for (size_t i = 0; i < facts.size(); ++i) keyed.emplace_back(key(facts[i]), static_cast<int>(i));
  std::ranges::sort(keyed);
  std::vector<int> order;
  order.reserve(facts.size());
  for (const auto& [unused, i] : keyed) order.push_back(i);
  return order;
}

inline std::vector<int> ByArrival(std::span<const SequenceFacts> facts) {
  return SortedBy(facts, [](const SequenceFacts& f) { return f.id; });
}

// The fewest of `running`, from the end of its order, that make room for `next`; none if those who yield to
// it cannot.
template <typename Yields>
std::vector<int> MakeRoom(const SequenceFacts& next, std::span<const SequenceFacts> running,
                          const std::vector<int>& order, const StepBudget& budget, Yields&& yields) {
  std::vector<int> give_way;
  int64_t pages = budget.free_pages, sequences = budget.free_sequences;
  const auto fits = [&] { return sequences > 0 && pages >= next.pages_to_admit; };
  for (auto it = order.rbegin(); it != order.rend() && !fits(); ++it) {
    if (!yields(running[*it])) break;
    give_way.push_back(*it);
    pages += running[*it].pages_held;
    ++sequences;
  }
  if (!fits()) give_way.clear();
  return give_way;
}

}  // namespace quire

#endif  // QUIRE_POLICIES_SCHEDULING_ORDERING_H_

// Which of the cached pages that nobody uses leaves first: pages that no hit is expected to need go before
// all others, then the least recently used; what is pinned comes last. Facts in, victim out: it knows neither
// pages nor the tree.
#ifndef QUIRE_KV_EVICTION_ORDER_H_
#define QUIRE_KV_EVICTION_ORDER_H_

#include <compare>
#include <cstdint>
#include <set>

namespace quire {

struct EvictionFacts {
  bool pinned = false;    // see page_pins.h
  bool expected = false;  // a later request is likely to need it
  uint64_t last_use = 0;  // on a clock of uses
  bool leaf = false;      // a leaf of the prefix tree with its whole state; else one page of a sliding window
  uint32_t id = 0;        // of the leaf's node, or of the page

  auto operator<=>(const EvictionFacts&) const = default;
};

class EvictionOrder {
 public:
  void Insert(const EvictionFacts& facts) { order_.insert(facts); }
  // REQUIRES: the very facts that were inserted.
  void Remove(const EvictionFacts& facts) { order_.erase(facts); }
  bool empty() const { return order_.empty(); }
  const EvictionFacts& Victim() const { return *order_.begin(); }

 private:
  std::set<EvictionFacts> order_;
};

}  // namespace quire

#endif  // QUIRE_KV_EVICTION_ORDER_H_

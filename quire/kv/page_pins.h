// Pins: cached prefixes that stay when others need room, until they expire. A pinned page that nobody uses is
// still available, so a pin never keeps anybody from running: the index evicts all else first, and when
// nothing else is left the pin that the retention policy names gives way. Its pages are ordinary cached pages
// from then on.
//
// A pin holds whole pages. It has a name, and a new pin takes the place of the old one of its name. One
// owner: PageCache, which makes pins and asks for room.
#ifndef QUIRE_KV_PAGE_PINS_H_
#define QUIRE_KV_PAGE_PINS_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quire/kv/prefix_index.h"
#include "quire/policies/retention.h"

namespace quire {

struct PinCounts {
  int64_t expired = 0;
  int64_t yielded = 0;
};

// What the pins of an owner hold.
struct OwnerPins {
  int64_t pins = 0;
  int64_t pages = 0;  // each once
};

class PagePins {
 public:
  PagePins();

  // Who decides; the default is kDefaultRetention.
  void SetPolicy(std::unique_ptr<RetentionPolicy> policy) { policy_ = std::move(policy); }
  RetentionPolicy& policy() { return *policy_; }

  // Returns the pages that the pin holds. REQUIRES: the node has a whole page of tokens.
  int64_t Put(PrefixIndex& index, const std::string& name, PrefixNode& node, PinFacts facts);
  bool Remove(PrefixIndex& index, const std::string& name);
  // The pin lasts until then. False when there is none.
  bool Renew(const std::string& name, double expiry_s);
  // The time is now: removes what is over.
  void Advance(PrefixIndex& index, double now_s);
  // One gives way. REQUIRES: !empty().
  void Yield(PrefixIndex& index);
  // Of the owner's pins whose names begin so, but not `but`, the one that was made first gives way. False
  // when there is none.
  bool YieldOldest(PrefixIndex& index, std::string_view owner, std::string_view beginning,
                   std::string_view but);
  // All that need the page give way.
  void YieldPage(PrefixIndex& index, PageId page);

  bool empty() const { return pins_.empty(); }
  int64_t size() const { return std::ssize(pins_); }
  const PinFacts* Find(const std::string& name) const;
  const PinCounts& counts() const { return counts_; }
  std::map<std::string, OwnerPins> ByOwner() const;
  // Pages of the owner's pins, each once, without that of the name.
  int64_t PagesOf(std::string_view owner, const std::string& without) const;

 private:
  struct Pin {
    PrefixNode* node = nullptr;
    std::vector<PageId> pages;
    PinFacts facts;
  };
  using Pins = std::map<std::string, Pin>;

  Pins::iterator Erase(PrefixIndex& index, Pins::iterator pin);

  std::unique_ptr<RetentionPolicy> policy_;
  Pins pins_;  // by name
  double now_s_ = 0;
  double next_expiry_s_ = std::numeric_limits<double>::infinity();  // or earlier
  PinCounts counts_;
};

}  // namespace quire

#endif  // QUIRE_KV_PAGE_PINS_H_

#include "quire/kv/page_pins.h"

#include <algorithm>
#include <unordered_set>

#include "quire/base/check.h"

// Invariant: a pin's node and pages are in the index, pinned by it, until it is erased here.

namespace quire {

PagePins::PagePins() : policy_(MakeRetentionPolicy(kDefaultRetention).value()) {}

int64_t PagePins::Put(PrefixIndex& index, const std::string& name, PrefixNode& node, PinFacts facts) {
  // Pinned before the old one goes: what they share stays in its place in the eviction order.
  Pin pin{.node = &node, .pages = index.Pin(node, !facts.asked), .facts = std::move(facts)};
  Remove(index, name);
  const int64_t pages = pin.facts.pages = std::ssize(pin.pages);
  next_expiry_s_ = std::min(next_expiry_s_, pin.facts.expiry_s);
  pins_.emplace(name, std::move(pin));
  return pages;
}

PagePins::Pins::iterator PagePins::Erase(PrefixIndex& index, Pins::iterator pin) {
  index.Unpin(*pin->second.node, !pin->second.facts.asked, pin->second.pages);
  return pins_.erase(pin);
}

bool PagePins::Remove(PrefixIndex& index, const std::string& name) {
  const auto found = pins_.find(name);
  if (found == pins_.end()) return false;
  Erase(index, found);
  return true;
}

bool PagePins::Renew(const std::string& name, double expiry_s) {
  const auto found = pins_.find(name);
  if (found == pins_.end()) return false;
  found->second.facts.expiry_s = expiry_s;
  next_expiry_s_ = std::min(next_expiry_s_, expiry_s);
  return true;
}

void PagePins::Advance(PrefixIndex& index, double now_s) {
  now_s_ = now_s;
  if (now_s < next_expiry_s_) return;
  next_expiry_s_ = std::numeric_limits<double>::infinity();
  for (auto pin = pins_.begin(); pin != pins_.end();) {
    if (pin->second.facts.expiry_s <= now_s) {
      ++counts_.expired;
      pin = Erase(index, pin);
    } else {
      next_expiry_s_ = std::min(next_expiry_s_, pin->second.facts.expiry_s);
      ++pin;
    }
  }
}

void PagePins::Yield(PrefixIndex& index) {
  QUIRE_CHECK(!empty());
  std::vector<PinFacts> facts;
  for (const auto& [name, pin] : pins_) facts.push_back(pin.facts);
  const size_t which = policy_->Yields(facts, now_s_);
  QUIRE_CHECK(which < facts.size());
  ++counts_.yielded;
  Erase(index, std::next(pins_.begin(), static_cast<int64_t>(which)));
}

bool PagePins::YieldOldest(PrefixIndex& index, std::string_view owner, std::string_view beginning,
                           std::string_view but) {
  auto oldest = pins_.end();
  for (auto pin = pins_.lower_bound(std::string(beginning));
       pin != pins_.end() && pin->first.starts_with(beginning); ++pin) {
    if (pin->second.facts.owner != owner || pin->first == but) continue;
    if (oldest == pins_.end() || pin->second.facts.begin_s < oldest->second.facts.begin_s) oldest = pin;
  }
  if (oldest == pins_.end()) return false;
  ++counts_.yielded;
  Erase(index, oldest);
  return true;
}

void PagePins::YieldPage(PrefixIndex& index, PageId page) {
  for (auto pin = pins_.begin(); pin != pins_.end() && index.pinned(page);) {
    if (std::ranges::find(pin->second.pages, page) == pin->second.pages.end()) {
      ++pin;
    } else {
      ++counts_.yielded;
      pin = Erase(index, pin);
    }
  }
}

const PinFacts* PagePins::Find(const std::string& name) const {
  const auto found = pins_.find(name);
  return found == pins_.end() ? nullptr : &found->second.facts;
}

std::map<std::string, OwnerPins> PagePins::ByOwner() const {
  std::map<std::string, OwnerPins> owners;
  std::map<std::string_view, std::unordered_set<PageId>> pages;
  for (const auto& [name, pin] : pins_) {
    ++owners[pin.facts.owner].pins;
    pages[pin.facts.owner].insert(pin.pages.begin(), pin.pages.end());
  }
  for (auto& [owner, sums] : owners) sums.pages = std::ssize(pages[owner]);
  return owners;
}

int64_t PagePins::PagesOf(std::string_view owner, const std::string& without) const {
  std::unordered_set<PageId> pages;
  for (const auto& [name, pin] : pins_) {
    if (pin.facts.owner == owner && name != without) pages.insert(pin.pages.begin(), pin.pages.end());
  }
  return std::ssize(pages);
}

}  // namespace quire

#include <algorithm>
#include <utility>

#include "quire/policies/retention.h"

namespace quire {

extern const RetentionRow kFixedRetention;
extern const RetentionRow kLearnedRetention;
extern const RetentionRow kNoRetention;

namespace {
constexpr const RetentionRow* kTable[] = {&kFixedRetention, &kLearnedRetention, &kNoRetention};
}  // namespace

size_t RetentionPolicy::Yields(std::span<const PinFacts> pins, double) {
  const auto key = [](const PinFacts& pin) { return std::pair(pin.asked, pin.expiry_s); };
  return std::ranges::min_element(pins, {}, key) - pins.begin();
}

std::span<const RetentionRow* const> RetentionTable() { return kTable; }

Result<std::unique_ptr<RetentionPolicy>> MakeRetentionPolicy(std::string_view spec) {
  return MakePolicy<RetentionPolicy, RetentionRow>(spec, "retention", kTable);
}

}  // namespace quire

// Two tiers, one above the other, as one. Pages are read from the upper one where it has them. A page goes to
// the upper one when that wants it, and else to the lower one: so what the lower tier takes when it is
// computed is there whatever the upper one gives up later.
#ifndef QUIRE_TIERS_TIER_STACK_H_
#define QUIRE_TIERS_TIER_STACK_H_

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "quire/tiers/page_tier.h"

namespace quire {

class TierStack final : public PageTier {
 public:
  TierStack(std::unique_ptr<PageTier> upper, std::unique_ptr<PageTier> lower);

  std::optional<size_t> Find(const PageKey& key) const override;
  bool Wants(const PageKey& key, Moment moment) const override;
  void Touch(const PageKey& key) override;
  bool StartWrite(const PageKey& key, Moment moment, std::span<const std::byte> page, size_t form,
                  uint64_t tag) override;
  bool StartRead(const PageKey& key, std::span<std::byte> page, uint64_t tag) override;
  void SetWake(std::function<void()> wake) override;
  void TakeCompleted(std::vector<Completion>& completed) override;
  void AddUsage(std::vector<TierUsage>& places) const override;

 private:
  std::unique_ptr<PageTier> upper_, lower_;
  size_t upper_places_;
};

// Either may be null.
std::unique_ptr<PageTier> Stacked(std::unique_ptr<PageTier> upper, std::unique_ptr<PageTier> lower);

}  // namespace quire

#endif  // QUIRE_TIERS_TIER_STACK_H_

#include "quire/tiers/tier_stack.h"

// Invariant: a move is in one of the two only, so their completions can be taken together.

namespace quire {

TierStack::TierStack(std::unique_ptr<PageTier> upper, std::unique_ptr<PageTier> lower)
    : upper_(std::move(upper)), lower_(std::move(lower)) {
  std::vector<TierUsage> places;
  upper_->AddUsage(places);
  upper_places_ = places.size();
}

std::optional<size_t> TierStack::Find(const PageKey& key) const {
  if (const auto place = upper_->Find(key)) return place;
  if (const auto place = lower_->Find(key)) return upper_places_ + *place;
  return std::nullopt;
}

bool TierStack::Wants(const PageKey& key, Moment moment) const {
  return upper_->Wants(key, moment) || lower_->Wants(key, moment);
}

void TierStack::Touch(const PageKey& key) {
  upper_->Touch(key);
  lower_->Touch(key);
}

bool TierStack::StartWrite(const PageKey& key, Moment moment, std::span<const std::byte> page, size_t form,
                           uint64_t tag) {
  PageTier& tier = upper_->Wants(key, moment) ? *upper_ : *lower_;
  return tier.StartWrite(key, moment, page, form, tag);
}

bool TierStack::StartRead(const PageKey& key, std::span<std::byte> page, uint64_t tag) {
  PageTier& tier = upper_->Contains(key) ? *upper_ : *lower_;
  return tier.StartRead(key, page, tag);
}

void TierStack::SetWake(std::function<void()> wake) {
  upper_->SetWake(wake);
  lower_->SetWake(std::move(wake));
}

void TierStack::TakeCompleted(std::vector<Completion>& completed) {
  upper_->TakeCompleted(completed);
  lower_->TakeCompleted(completed);
}

void TierStack::AddUsage(std::vector<TierUsage>& places) const {
  upper_->AddUsage(places);
  lower_->AddUsage(places);
}

std::unique_ptr<PageTier> Stacked(std::unique_ptr<PageTier> upper, std::unique_ptr<PageTier> lower) {
  if (upper == nullptr) return lower;
  if (lower == nullptr) return upper;
  return std::make_unique<TierStack>(std::move(upper), std::move(lower));
}

}  // namespace quire

// A tier for tests: a map, whose moves end when the test says so, and fail when it wants them to.
#ifndef QUIRE_TIERS_TIER_TESTING_H_
#define QUIRE_TIERS_TIER_TESTING_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "quire/tiers/page_tier.h"

namespace quire {

// What a MapTier has and does; it outlives the tier, as a disk outlives a process.
struct MapTierState {
  std::map<PageKey, std::vector<std::byte>> pages = {};
  bool holds_moves = false;            // moves do not end for now
  bool refuses_writes = false;         // as a full disk does
  bool fails_reads = false;            // as a corrupt page does
  Moment moment = Moment::kPublished;  // at which pages are wanted
  TransferTime read_time = {};         // that it tells of itself
  int reads = 0, writes = 0, failures = 0;
};

class MapTier final : public PageTier {
 public:
  explicit MapTier(MapTierState& state) : state_(state) {}

  std::optional<size_t> Find(const PageKey& key) const override {
    return state_.pages.contains(key) ? std::optional<size_t>(0) : std::nullopt;
  }
  bool Wants(const PageKey& key, Moment moment) const override {
    return moment == state_.moment && !state_.pages.contains(key);
  }
  bool StartWrite(const PageKey& key, Moment, std::span<const std::byte> page, size_t,
                  uint64_t tag) override {
    if (state_.refuses_writes) return false;
    moves_.push_back([this, key, page, tag] {
      ++state_.writes;
      state_.pages[key].assign(page.begin(), page.end());
      return Completion{tag, true};
    });
    return true;
  }
  bool StartRead(const PageKey& key, std::span<std::byte> page, uint64_t tag) override {
    moves_.push_back([this, key, page, tag] {
      const auto found = state_.pages.find(key);
      if (state_.fails_reads || found == state_.pages.end()) {
        state_.pages.erase(key);
        ++state_.failures;
        return Completion{tag, false};
      }
      ++state_.reads;
      std::ranges::copy(found->second, page.begin());
      return Completion{tag, true};
    });
    return true;
  }
  void SetWake(std::function<void()>) override {}
  void TakeCompleted(std::vector<Completion>& completed) override {
    if (state_.holds_moves) return;
    for (const auto& move : std::exchange(moves_, {})) completed.push_back(move());
  }

  void AddUsage(std::vector<TierUsage>& places) const override {
    TierUsage usage{.name = "disk",
                    .pages = std::ssize(state_.pages),
                    .limit = INT64_MAX,
                    .pages_written = state_.writes,
                    .pages_read = state_.reads,
                    .pages_failed = state_.failures,
                    .read_time = state_.read_time};
    for (const auto& [key, page] : state_.pages) usage.bytes += std::ssize(page);
    places.push_back(usage);
  }

 private:
  MapTierState& state_;
  std::vector<std::function<Completion()>> moves_;
};

}  // namespace quire

#endif  // QUIRE_TIERS_TIER_TESTING_H_

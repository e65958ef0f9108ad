// The tier in main memory: pages that left the pool, in fewer bytes, within a quota. Least recently used
// pages leave first.
//
// One owner calls it; threads of its own do the coding.
#ifndef QUIRE_TIERS_COMPRESSED_TIER_H_
#define QUIRE_TIERS_COMPRESSED_TIER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "quire/base/clock.h"
#include "quire/tiers/page_codec.h"
#include "quire/tiers/page_tier.h"
#include "quire/tiers/read_meter.h"

namespace quire {

struct CompressedTierOptions {
  int64_t quota_bytes = 0;  // of coded pages, with what it takes to find them
  size_t page_bytes = 0;
  int threads = 2;  // that code; 0: the owner, when it takes what is completed
  int depth = 256;  // moves that can be under way
};

class CompressedTier final : public PageTier {
 public:
  // `codecs` by the form of pages. REQUIRES: there is one.
  CompressedTier(CompressedTierOptions options, std::vector<std::unique_ptr<PageCodec>> codecs);
  // Does not finish what was started.
  ~CompressedTier() override;

  std::optional<size_t> Find(const PageKey& key) const override;
  // What leaves the pool; not before, since main memory would hold it twice.
  bool Wants(const PageKey& key, Moment moment) const override;
  bool StartWrite(const PageKey& key, Moment moment, std::span<const std::byte> page, size_t form,
                  uint64_t tag) override;
  bool StartRead(const PageKey& key, std::span<std::byte> page, uint64_t tag) override;
  void SetWake(std::function<void()> wake) override { wake_ = std::move(wake); }
  void TakeCompleted(std::vector<Completion>& completed) override;
  void AddUsage(std::vector<TierUsage>& places) const override;

 private:
  using Coded = std::shared_ptr<const std::vector<std::byte>>;
  struct Entry {
    Coded coded;  // null: it is being made
    size_t form = 0;
    uint64_t last_use = 0;
  };
  struct Move {
    bool writes = false;
    PageKey key = {};
    uint64_t tag = 0;
    size_t form = 0;
    std::span<const std::byte> from = {};  // of a write
    std::span<std::byte> to = {};          // of a read
    Coded coded = {};
    bool ok = false;
    TimePoint ended{};
  };
  using Entries = std::unordered_map<PageKey, Entry, PageKeyHash>;

  void Start(Move move);
  void TookWrite(const Move& move);
  void TookRead(const Move& move);
  void Remove(Entries::iterator entry);
  void LearnReadTime();

  void Work();
  void Code(Move& move) const;

  const CompressedTierOptions options_;
  const std::vector<std::unique_ptr<PageCodec>> codecs_;

  // The owner's.
  Entries entries_;
  std::set<std::pair<uint64_t, PageKey>> order_;  // pages that can be evicted, by last use
  uint64_t uses_ = 0;
  int under_way_ = 0;
  TierUsage usage_;
  ReadMeter meter_;

  std::function<void()> wake_ = [] {};
  std::mutex mutex_;  // guards what follows
  std::condition_variable work_;
  std::deque<Move> queue_;  // reads in front of writes
  std::vector<Move> done_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace quire

#endif  // QUIRE_TIERS_COMPRESSED_TIER_H_

#include "quire/tiers/compressed_tier.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <random>

// Invariants:
// - An entry without coded bytes is being written; all others are in the order of eviction.
// - A read holds the coded bytes, so its page may be evicted meanwhile.

namespace quire {
namespace {

constexpr int64_t kEntryBytes = 200;    // of the maps, for a page
constexpr double kWakeSeconds = 50e-6;  // until a thread begins

int64_t CostOf(const std::vector<std::byte>& coded) { return std::ssize(coded) + kEntryBytes; }

}  // namespace

CompressedTier::CompressedTier(CompressedTierOptions options, std::vector<std::unique_ptr<PageCodec>> codecs)
    : options_(options), codecs_(std::move(codecs)) {
  usage_.name = "compressed";
  usage_.limit = options_.quota_bytes;
  LearnReadTime();
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

CompressedTier::~CompressedTier() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

// From a page of numbers between 1/2 and 2, and both signs, as halves.
void CompressedTier::LearnReadTime() {
  std::minstd_rand random(1);
  std::vector<std::byte> page(options_.page_bytes);
  for (size_t i = 0; i < page.size(); ++i) {
    const auto bits = static_cast<uint8_t>(random() >> 8);
    page[i] = static_cast<std::byte>(i % 2 == 0 ? bits : (bits & 0x87) | 0x38);
  }
  const PageCodec& codec = *codecs_.front();
  const std::vector<std::byte> coded = codec.Encode(page);
  meter_.Learn(0, kWakeSeconds);
  double seconds = 1e9;
  for (int i = 0; i < 3; ++i) {  // the fastest: the others were interrupted
    const TimePoint begin = Clock::System().Now();
    if (!codec.Decode(coded, page)) return;
    seconds = std::min(seconds, Seconds(Clock::System().Now() - begin));
  }
  meter_.Learn(std::ssize(page), seconds / std::max(1, options_.threads));
}

// -- The owner ----------------------------------------------------------------------------------------------

std::optional<size_t> CompressedTier::Find(const PageKey& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.coded == nullptr) return std::nullopt;
  return 0;
}

bool CompressedTier::Wants(const PageKey& key, Moment moment) const {
  return moment == Moment::kEvicted && !entries_.contains(key);
}

bool CompressedTier::StartWrite(const PageKey& key, Moment moment, std::span<const std::byte> page,
                                size_t form, uint64_t tag) {
  if (under_way_ == options_.depth || !Wants(key, moment)) return false;
  entries_.emplace(key, Entry{.coded = nullptr, .form = form, .last_use = ++uses_});
  Start({.writes = true, .key = key, .tag = tag, .form = form, .from = page});
  return true;
}

bool CompressedTier::StartRead(const PageKey& key, std::span<std::byte> page, uint64_t tag) {
  if (under_way_ == options_.depth || !Contains(key)) return false;
  Entry& entry = entries_.find(key)->second;
  order_.erase({entry.last_use, key});
  entry.last_use = ++uses_;
  order_.emplace(entry.last_use, key);
  meter_.Started(std::ssize(page));
  Start({.key = key, .tag = tag, .form = entry.form, .to = page, .coded = entry.coded});
  return true;
}

void CompressedTier::Start(Move move) {
  ++under_way_;
  const std::lock_guard lock(mutex_);
  const auto first_write = std::ranges::find_if(queue_, &Move::writes);
  queue_.insert(move.writes ? queue_.end() : first_write, std::move(move));
  work_.notify_one();
}

void CompressedTier::TakeCompleted(std::vector<Completion>& completed) {
  std::vector<Move> done;
  {
    const std::lock_guard lock(mutex_);
    done.swap(done_);
    if (options_.threads == 0) std::ranges::move(std::exchange(queue_, {}), std::back_inserter(done));
  }
  for (Move& move : done) {
    if (options_.threads == 0) Code(move);
    move.writes ? TookWrite(move) : TookRead(move);
    --under_way_;
    completed.push_back({.tag = move.tag, .ok = move.ok});
  }
}

void CompressedTier::TookWrite(const Move& move) {
  const auto entry = entries_.find(move.key);
  entry->second.coded = move.coded;
  order_.emplace(entry->second.last_use, move.key);
  usage_.bytes += CostOf(*move.coded);
  usage_.bytes_moved += std::ssize(move.from);
  ++usage_.pages;
  ++usage_.pages_written;
  while (usage_.bytes > options_.quota_bytes) Remove(entries_.find(order_.begin()->second));
}

void CompressedTier::TookRead(const Move& move) {
  meter_.Ended(move.ended);
  if (move.ok) {
    usage_.bytes_moved += std::ssize(move.to);
    ++usage_.pages_read;
    return;
  }
  ++usage_.pages_failed;
  if (Contains(move.key)) Remove(entries_.find(move.key));
}

void CompressedTier::Remove(Entries::iterator entry) {
  usage_.bytes -= CostOf(*entry->second.coded);
  --usage_.pages;
  order_.erase({entry->second.last_use, entry->first});
  entries_.erase(entry);
}

void CompressedTier::AddUsage(std::vector<TierUsage>& places) const {
  places.push_back(usage_);
  places.back().read_time = meter_.time();
}

// -- The threads --------------------------------------------------------------------------------------------

void CompressedTier::Work() {
  while (true) {
    Move move;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      move = std::move(queue_.front());
      queue_.pop_front();
    }
    Code(move);
    {
      const std::lock_guard lock(mutex_);
      done_.push_back(std::move(move));
    }
    wake_();
  }
}

void CompressedTier::Code(Move& move) const {
  const PageCodec& codec = *codecs_[move.form];
  if (move.writes) {
    move.coded = std::make_shared<const std::vector<std::byte>>(codec.Encode(move.from));
    move.ok = true;
  } else {
    move.ok = codec.Decode(*move.coded, move.to);
  }
  move.ended = Clock::System().Now();
}

}  // namespace quire

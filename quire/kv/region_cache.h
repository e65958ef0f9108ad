// KV memory in which every sequence lies in one piece: a region of pages per layer group (page_arena.h),
// which gets main memory as tokens are reserved (region_memory.h); while a sequence generates, a little at a
// time for the page to come, so that no step waits for it (vAttention, Prabhu et al. 2024, section 6).
//
// Nothing is shared: Match finds nothing, and a fork has pages of its own.
#ifndef QUIRE_KV_REGION_CACHE_H_
#define QUIRE_KV_REGION_CACHE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "quire/kv/kv_cache.h"
#include "quire/kv/region_memory.h"

namespace quire {

struct RegionCacheOptions {
  size_t kv_bytes = 0;
  size_t most_bytes = 0;       // that Resize may ever be asked for; at least kv_bytes
  int64_t longest_tokens = 0;  // of a sequence
  int64_t sequences = 0;       // at once; with the longest they decide how many addresses are reserved
};

class RegionCache final : public KvCache {
 public:
  // Errors: kInvalidArgument when not even one page fits; those of PageArena and RegionMemory.
  static Result<std::unique_ptr<RegionCache>> Create(KvLayout layout, const RegionCacheOptions& options);

  std::span<const KvLayout> layouts() const override { return {&layout_, 1}; }
  const PageArena& arena() const override { return memory_->arena(); }
  int64_t pages() const override { return size_bytes_ / page_bytes(); }
  int64_t available_pages() const override {
    return std::max<int64_t>(0, (size_bytes_ - used_bytes_) / page_bytes());
  }
  Status Resize(size_t kv_bytes) override;
  bool OverSize() const override { return used_bytes_ > size_bytes_; }

  int64_t Match(PageTable&, std::string_view, std::span<const Token>) override { return 0; }
  void Publish(PageTable&, std::string_view, std::span<const Token>) override {}
  void ExpectReturn(const PageTable&, int64_t) override {}
  Verdict Reserve(PageTable& table, int64_t tokens, Room room = Room::kOfSize) override;
  void TrimWindows(PageTable& table, int64_t position) override;
  // Copies, or is empty.
  PageTable Fork(const PageTable& table) override;
  void Release(PageTable& table) override;
  void Release(PageTable& table, std::string_view, std::span<const Token>) override { Release(table); }
  // In bytes of main memory, as pages of that many bytes.
  int64_t PagesFor(int64_t tokens, int64_t chunk_tokens, int layout = 0) const override;
  KvUsage Usage() const override;
  LayoutUsage UsageOf(int) const override { return {.used = used_bytes_}; }

 private:
  // Pages of an open one: [live, end) hold tokens, and [begin, end) have main memory.
  struct Region {
    bool sliding = false;
    int64_t begin = 0;
    int64_t live = 0;
    int64_t end = 0;
  };

  RegionCache(KvLayout layout, std::unique_ptr<RegionMemory> memory, size_t most_bytes);
  int64_t page_bytes() const { return static_cast<int64_t>(arena().page_bytes()); }
  int64_t EndOf(int64_t end, bool sliding) const { return memory_->EndAt(end * page_bytes(), sliding); }
  int64_t BytesOf(bool sliding, int64_t begin, int64_t end) const;
  int64_t UsedBy(const Region& region) const { return BytesOf(region.sliding, region.begin, region.end); }
  int64_t FilledBy(const Region& region, int64_t tokens) const;

  bool Open(PageTable& table);
  void Close(int64_t at);
  void Extend(int64_t at, int64_t pages, bool prompt);
  void CommitAhead(int64_t at, int64_t slot);
  void Trim(int64_t at);
  void MakeRoom();

  KvLayout layout_;
  std::unique_ptr<RegionMemory> memory_;
  const size_t most_bytes_;
  int64_t size_bytes_ = 0;
  int64_t used_bytes_ = 0;
  int64_t filled_tokens_ = 0;  // over all groups
  double commit_s_ = 0;
  std::vector<Region> regions_;  // by number; of those that were ever opened
};

}  // namespace quire

#endif  // QUIRE_KV_REGION_CACHE_H_

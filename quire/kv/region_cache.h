// KV memory in which every sequence lies in one piece: a region of addresses per layer group, where each tile
// is followed by the same tile of the next page (page_arena.h). Main memory is taken page by page of the
// system, as tokens are reserved; while a sequence generates, a little at a time for the page to come, so
// that no step waits for it. A sequence that leaves lets its region warm for the next one; what nobody took
// goes back to the system, little by little (vAttention, Prabhu et al. 2024, sections 5 and 6).
//
// Nothing is shared: Match finds nothing, and a fork has pages of its own.
#ifndef QUIRE_KV_REGION_CACHE_H_
#define QUIRE_KV_REGION_CACHE_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "quire/kv/kv_cache.h"

namespace quire {

struct RegionCacheOptions {
  size_t kv_bytes = 0;
  size_t most_bytes = 0;       // that Resize may ever be asked for; at least kv_bytes
  int64_t longest_tokens = 0;  // of a sequence
  int64_t sequences = 0;       // at once; with the longest they decide how many addresses are reserved
};

class RegionCache final : public KvCache {
 public:
  // Errors: kInvalidArgument when not even one page fits; those of PageArena.
  static Result<std::unique_ptr<RegionCache>> Create(KvLayout layout, const RegionCacheOptions& options);

  std::span<const KvLayout> layouts() const override { return {&layout_, 1}; }
  const PageArena& arena() const override { return arena_; }
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
  // Pages of it: [live, end) hold tokens, and [begin, warm_end) have main memory.
  struct Region {
    int64_t begin = 0;
    int64_t live = 0;
    int64_t end = 0;
    int64_t warm_end = 0;
    size_t tiles_due = 0;  // of page warm_end - 1, which have no memory yet: the last ones
  };

  RegionCache(KvLayout layout, PageArena arena, size_t most_bytes);
  int64_t page_bytes() const { return static_cast<int64_t>(arena_.page_bytes()); }
  int64_t UsedBy(const Region& region) const { return arena_.BytesOf(region.begin, region.end); }
  int64_t FilledBy(const Region& region, int64_t tokens) const;

  bool Open(PageTable& table);
  std::optional<int64_t> TakeRegion();
  void Extend(int64_t at, int64_t pages);
  void CommitAhead(int64_t at, int64_t slot);
  void CommitDue(int64_t at, size_t tiles);
  void Trim(int64_t at, int64_t live);
  void Close(int64_t at);
  void MakeRoom();
  void GiveBackTail(int64_t at);
  void TidyUp(size_t tiles);

  KvLayout layout_;
  PageArena arena_;
  const size_t most_bytes_;
  int64_t size_bytes_ = 0;
  int64_t used_bytes_ = 0;
  int64_t committed_bytes_ = 0;
  int64_t filled_tokens_ = 0;  // over all groups
  double commit_s_ = 0;
  std::vector<Region> regions_;  // that were ever used, which are the first ones
  std::deque<int64_t> warm_;     // closed, with memory; the one that was closed last at the end
  std::deque<int64_t> leaving_;  // closed; their memory is being given back, the first one's right now
  size_t tiles_gone_ = 0;        // of the first one
  std::vector<int64_t> cold_;    // closed, without memory
};

}  // namespace quire

#endif  // QUIRE_KV_REGION_CACHE_H_

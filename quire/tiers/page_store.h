// The disk tier: KV pages in a folder, kept within a quota, found again after the process ended however it
// ended. Least recently used pages leave first.
//
// A page's bytes are written before the catalog names them, and whatever is read back must open its seal
// (page_seal.h). So after a crash at any moment every page is right or absent; so is one from a disk that
// lies. A disk that is full or gone costs pages, never a request: it is told once, and tried again after a
// while.
//
// Pages that are written one after the other lie next to each other where there is room, and neighbours are
// moved together. One owner calls it; threads of its own do the reading and writing.
#ifndef QUIRE_TIERS_PAGE_STORE_H_
#define QUIRE_TIERS_PAGE_STORE_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "quire/base/clock.h"
#include "quire/base/result.h"
#include "quire/tiers/page_catalog.h"
#include "quire/tiers/page_seal.h"
#include "quire/tiers/page_tier.h"
#include "quire/tiers/read_meter.h"
#include "quire/tiers/slab_file.h"
#include "quire/tiers/slab_mover.h"

namespace quire {

struct PageStoreOptions {
  std::filesystem::path folder;  // made where it is missing
  int64_t quota_bytes = 0;       // of slots; the catalog takes some 100 bytes a page beside them
  size_t page_bytes = 0;
  std::string format;  // what the bytes of pages mean; pages of another format are dropped
  std::string secret;  // 32 bytes to encrypt pages with; empty: plain
  int threads = 4;     // that read and write
  int depth = 256;     // moves that can be under way
  bool probe = true;   // measure the disk at once, which takes some 8 MiB of it for a moment
  // To be compared with only: every page is moved alone and waited for, and written again each time it has
  // been brought back, as engines do that swap page by page.
  bool page_by_page = false;
  std::function<void(std::string_view)> log = [](std::string_view) {};  // one line; from the owner
};

struct PageStoreCounts {
  int64_t evicted = 0;
  int64_t bad_pages = 0;     // that could not be read, or were not what was written
  int64_t other_pages = 0;   // of another format, that were there and are no longer
  int64_t write_errors = 0;  // pages that the disk did not take
};

class PageStore final : public PageTier {
 public:
  // Errors: kInvalidArgument (a quota below one page, a secret that has not 32 bytes), kUnavailable (another
  // process uses the folder), kIo.
  static Result<std::unique_ptr<PageStore>> Open(PageStoreOptions options,
                                                 const Clock& clock = Clock::System());
  // Finishes the moves that were started.
  ~PageStore() override;

  std::optional<size_t> Find(const PageKey& key) const override;
  void Touch(const PageKey& key) override;
  // What is computed, since a page in the pool does not outlive the process; and what has left meanwhile.
  bool Wants(const PageKey& key, Moment moment) const override;
  bool StartWrite(const PageKey& key, Moment moment, std::span<const std::byte> page, size_t form,
                  uint64_t tag) override;
  bool StartRead(const PageKey& key, std::span<std::byte> page, uint64_t tag) override;
  void SetWake(std::function<void()> wake) override { wake_ = std::move(wake); }
  void TakeCompleted(std::vector<Completion>& completed) override;
  void AddUsage(std::vector<TierUsage>& places) const override;
  const PageStoreCounts& counts() const { return counts_; }

 private:
  struct Entry {
    PagePlace place;
    int readers = 0;
    bool stored = false;  // else it is being written
    bool bad = false;     // goes with its last reader
  };
  using Entries = std::unordered_map<PageKey, Entry, PageKeyHash>;

  PageStore(PageStoreOptions options, const Clock& clock);
  Status Lock();
  Status CheckFormat();
  void Load();
  std::optional<uint32_t> TakeSlot(std::vector<CatalogChange>& changes);
  void Settle(Entries::iterator entry);
  void Remove(Entries::iterator entry);
  void TookWrite(const SlabMove& move);
  void TookRead(const SlabMove& move);
  void FlushChanges(size_t least);
  void Start(SlabMove move);
  void Tell(std::string_view cause, int error);
  void Probe();

  const PageStoreOptions options_;
  const Clock& clock_;
  const PageSeal seal_;
  SlabFile slab_;
  PageCatalog catalog_;
  int lock_ = -1;

  // The owner's.
  Entries entries_;
  std::set<std::pair<uint64_t, PageKey>> order_;  // pages that can be evicted, by last use
  std::set<uint32_t> free_slots_;
  uint32_t fresh_slot_ = 0;  // from here on no slot was ever used
  uint32_t next_slot_ = 0;   // behind the one that was given last
  uint64_t uses_ = 0;
  int under_way_ = 0;
  std::vector<CatalogChange> changes_;  // that are not on disk yet
  std::optional<TimePoint> resting_until_;
  std::set<std::string, std::less<>> told_;
  PageStoreCounts counts_;

  ReadMeter meter_;
  int64_t bytes_moved_ = 0, pages_written_ = 0, pages_read_ = 0;

  std::function<void()> wake_ = [] {};
  SlabMover mover_;  // ends first
};

}  // namespace quire

#endif  // QUIRE_TIERS_PAGE_STORE_H_

#include "quire/tiers/page_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>

#include "quire/tiers/disk_probe.h"

// Invariants:
// - A slot belongs to one entry, or is free. An entry that is being read or written keeps its slot.
// - The catalog may name a page whose slot has been given to another one; its seal does not open then. Of two
//   pages with one slot the later used is the one that was written last.
// - Moves of the catalog are committed in the order in which their slots were taken, for one slot: the next
//   write into it starts after the last one was completed.

namespace quire {
namespace {

constexpr auto kRest = std::chrono::seconds(10);  // without writes, after the disk refused one
constexpr size_t kChangesAtOnce = 256;

}  // namespace

// -- Opening and closing ------------------------------------------------------------------------------------

PageStore::PageStore(PageStoreOptions options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      seal_(options_.format, options_.secret),
      mover_(slab_, seal_, catalog_) {}

Result<std::unique_ptr<PageStore>> PageStore::Open(PageStoreOptions options, const Clock& clock) {
  if (!options.secret.empty() && options.secret.size() != 32) {
    return Fail(ErrorCode::kInvalidArgument, "the key for KV pages has {} bytes; it must have 32",
                options.secret.size());
  }
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error) {
    return Fail(ErrorCode::kIo, "{}: cannot be made for KV pages: {}", options.folder.string(),
                error.message());
  }
  std::unique_ptr<PageStore> store(new PageStore(std::move(options), clock));
  const PageStoreOptions& set = store->options_;
  QUIRE_TRY(store->Lock());
  QUIRE_TRY(store->CheckFormat());
  QUIRE_TRY(store->slab_.Open(set.folder / "pages.slab", set.page_bytes, set.quota_bytes));
  if (store->slab_.slots() == 0) {
    return Fail(ErrorCode::kInvalidArgument, "{}: {} bytes hold not one page of {}; give it more room",
                set.folder.string(), set.quota_bytes, set.page_bytes);
  }
  QUIRE_TRY(store->catalog_.Open(set.folder / "catalog.mdb"));
  if (store->catalog_.replaced()) set.log("the index of KV pages on disk was damaged; it starts empty");
  store->Load();
  if (set.probe) store->Probe();
  store->mover_.Begin(set.threads, [&store = *store] { store.wake_(); });
  return store;
}

PageStore::~PageStore() {
  FlushChanges(1);
  if (lock_ >= 0) close(lock_);
}

Status PageStore::Lock() {
  const std::filesystem::path path = options_.folder / "lock";
  lock_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return Fail(ErrorCode::kIo, "{}: cannot be opened: {}", path.string(), std::strerror(errno));
  if (flock(lock_, LOCK_EX | LOCK_NB) == 0) return {};
  return Fail(ErrorCode::kUnavailable, "{}: another process keeps its KV pages here; give this one its own",
              options_.folder.string());
}

// A folder of another format starts empty.
Status PageStore::CheckFormat() {
  const std::filesystem::path path = options_.folder / "format";
  const std::string format =
      fmt::format("quire page store 1\n{} {} {}\n", options_.format, options_.page_bytes, seal_.encrypts());
  std::ifstream file(path, std::ios::binary);
  if (std::string(std::istreambuf_iterator<char>(file), {}) == format) return {};
  std::error_code ignored;
  const std::filesystem::path catalog = options_.folder / "catalog.mdb";
  if (std::filesystem::exists(catalog, ignored)) {
    if (PageCatalog others; others.Open(catalog)) counts_.other_pages = std::ssize(others.Read());
    Tell("the KV pages here are of another model, type or encryption, and are dropped", 0);
  }
  for (const char* name : {"catalog.mdb", "pages.slab"}) {
    std::filesystem::remove(options_.folder / name, ignored);
  }
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << format;
  if (out.flush()) return {};
  return Fail(ErrorCode::kIo, "{}: cannot be written: {}", path.string(), std::strerror(errno));
}

void PageStore::Load() {
  std::vector<CatalogEntry> entries = catalog_.Read();
  std::ranges::sort(entries, std::greater(), [](const CatalogEntry& entry) { return entry.place.last_use; });
  std::vector<bool> taken(slab_.slots());
  for (const auto& [key, place] : entries) {
    if (place.slot >= taken.size() || taken[place.slot]) {
      changes_.push_back({key, std::nullopt});
      continue;
    }
    taken[place.slot] = true;
    uses_ = std::max(uses_, place.last_use);
    Settle(entries_.emplace(key, Entry{.place = place, .stored = true}).first);
  }
  const auto last = std::find(taken.rbegin(), taken.rend(), true);
  fresh_slot_ = static_cast<uint32_t>(taken.rend() - last);
  for (uint32_t slot = 0; slot < fresh_slot_; ++slot) {
    if (!taken[slot]) free_slots_.insert(slot);
  }
}

// So that the first choice between reading and computing has something to go by.
void PageStore::Probe() {
  ProbeReads(options_.folder / "probe",
             [this](int64_t bytes, double seconds) { meter_.Learn(bytes, seconds); });
}

// -- The owner ----------------------------------------------------------------------------------------------

std::optional<size_t> PageStore::Find(const PageKey& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end() || !found->second.stored || found->second.bad) return std::nullopt;
  return 0;
}

bool PageStore::Wants(const PageKey& key, Moment moment) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return true;
  const Entry& entry = found->second;
  return options_.page_by_page && moment == Moment::kPublished && entry.stored && entry.readers == 0;
}

void PageStore::AddUsage(std::vector<TierUsage>& places) const {
  const auto slot_bytes = static_cast<int64_t>(slab_.slot_bytes());
  const auto pages = std::ssize(entries_);
  places.push_back({.name = "disk",
                    .pages = pages,
                    .bytes = pages * slot_bytes,
                    .limit = slab_.slots() * slot_bytes,
                    .pages_written = pages_written_,
                    .pages_read = pages_read_,
                    .pages_failed = counts_.bad_pages + counts_.other_pages + counts_.write_errors,
                    .bytes_moved = bytes_moved_,
                    .read_time = meter_.time()});
}

// Into the order of eviction, if it can leave.
void PageStore::Settle(Entries::iterator entry) {
  if (entry->second.stored && entry->second.readers == 0) {
    order_.emplace(entry->second.place.last_use, entry->first);
  }
}

void PageStore::Remove(Entries::iterator entry) {
  order_.erase({entry->second.place.last_use, entry->first});
  free_slots_.insert(entry->second.place.slot);
  entries_.erase(entry);
}

// The free slot behind the last one that was given, or the next free one; where there is none, that of the
// page that was not used for the longest time, which is a change.
std::optional<uint32_t> PageStore::TakeSlot(std::vector<CatalogChange>& changes) {
  if (free_slots_.empty() && fresh_slot_ < slab_.slots()) free_slots_.insert(fresh_slot_++);
  if (free_slots_.empty()) {
    if (order_.empty()) return std::nullopt;
    const PageKey oldest = order_.begin()->second;
    Remove(entries_.find(oldest));
    changes.push_back({oldest, std::nullopt});
    ++counts_.evicted;
  }
  auto free = free_slots_.lower_bound(next_slot_);
  if (free == free_slots_.end()) free = free_slots_.begin();
  const uint32_t slot = *free;
  free_slots_.erase(free);
  next_slot_ = slot + 1;
  return slot;
}

bool PageStore::StartWrite(const PageKey& key, Moment moment, std::span<const std::byte> page, size_t,
                           uint64_t tag) {
  if (under_way_ == options_.depth || !Wants(key, moment)) return false;
  if (resting_until_ && clock_.Now() < *resting_until_) return false;
  SlabMove move{.kind = SlabMove::Kind::kWrite, .key = key, .tag = tag, .from = page};
  if (const auto found = entries_.find(key); found != entries_.end()) {  // again
    order_.erase({found->second.place.last_use, key});
    move.place = {.slot = found->second.place.slot, .last_use = ++uses_};
    found->second = {.place = move.place};
  } else {
    const std::optional<uint32_t> slot = TakeSlot(move.changes);
    if (!slot) return false;
    move.place = {.slot = *slot, .last_use = ++uses_};
    entries_.emplace(key, Entry{.place = move.place});
  }
  ++under_way_;
  Start(std::move(move));
  return true;
}

void PageStore::Touch(const PageKey& key) {
  const auto entry = entries_.find(key);
  if (entry == entries_.end() || !entry->second.stored || entry->second.readers > 0) return;
  order_.erase({entry->second.place.last_use, key});
  entry->second.place.last_use = ++uses_;
  changes_.push_back({key, entry->second.place});
  Settle(entry);
}

bool PageStore::StartRead(const PageKey& key, std::span<std::byte> page, uint64_t tag) {
  if (under_way_ == options_.depth || !Contains(key)) return false;
  Entry& entry = entries_.find(key)->second;
  if (entry.readers++ == 0) order_.erase({entry.place.last_use, key});
  entry.place.last_use = ++uses_;
  ++under_way_;
  meter_.Started(std::ssize(page));
  Start({.kind = SlabMove::Kind::kRead, .key = key, .place = entry.place, .tag = tag, .to = page});
  return true;
}

void PageStore::TakeCompleted(std::vector<Completion>& completed) {
  std::vector<SlabMove> done;
  mover_.TakeDone(done);
  for (const SlabMove& move : done) {
    move.kind == SlabMove::Kind::kWrite ? TookWrite(move) : TookRead(move);
    --under_way_;
    completed.push_back({.tag = move.tag, .ok = move.ok});
  }
  FlushChanges(kChangesAtOnce);
}

void PageStore::TookWrite(const SlabMove& move) {
  const auto entry = entries_.find(move.key);
  if (move.ok) {
    ++pages_written_;
    bytes_moved_ += std::ssize(move.from);
    entry->second.stored = true;
    return Settle(entry);
  }
  ++counts_.write_errors;
  Remove(entry);
  resting_until_ = clock_.Now() + kRest;
  Tell("the disk takes no KV pages now, and is tried again in ten seconds", move.error);
}

void PageStore::TookRead(const SlabMove& move) {
  const auto entry = entries_.find(move.key);
  --entry->second.readers;
  meter_.Ended(move.ended);
  if (move.ok) {
    ++pages_read_;
    bytes_moved_ += std::ssize(move.to);
  } else {
    ++counts_.bad_pages;
    entry->second.bad = true;
    Tell(move.error == 0 ? "a KV page on disk is not what was written; it is computed again"
                         : "a KV page cannot be read from disk; it is computed again",
         move.error);
  }
  if (entry->second.readers > 0) return;
  if (entry->second.bad) {
    changes_.push_back({move.key, std::nullopt});
    return Remove(entry);
  }
  changes_.push_back({move.key, entry->second.place});
  Settle(entry);
}

// Uses of pages need not be on disk at once. A change whose page has left meanwhile is dropped.
void PageStore::FlushChanges(size_t least) {
  if (changes_.size() < least) return;
  std::erase_if(changes_, [&](const CatalogChange& change) {
    const auto found = entries_.find(change.key);
    return change.place ? found == entries_.end() || found->second.place.slot != change.place->slot
                        : found != entries_.end();
  });
  Start({.kind = SlabMove::Kind::kChanges, .changes = std::exchange(changes_, {})});
}

// Each cause once.
void PageStore::Tell(std::string_view cause, int error) {
  if (!told_.emplace(cause).second) return;
  options_.log(error == 0 ? fmt::format("{}: {}", options_.folder.string(), cause)
                          : fmt::format("{}: {}: {}", options_.folder.string(), cause, std::strerror(error)));
}

void PageStore::Start(SlabMove move) {
  mover_.Start(std::move(move));
  if (options_.page_by_page) mover_.Wait();
}

}  // namespace quire

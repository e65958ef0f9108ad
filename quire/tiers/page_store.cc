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

size_t PageStore::KeyHash::operator()(const PageKey& key) const {
  size_t hash;
  std::memcpy(&hash, key.data(), sizeof(hash));
  return hash;
}

// -- Opening and closing ------------------------------------------------------------------------------------

PageStore::PageStore(PageStoreOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), seal_(options_.format, options_.secret) {}

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
  for (int i = 0; i < set.threads; ++i) store->threads_.emplace_back([&store = *store] { store.Work(); });
  return store;
}

PageStore::~PageStore() {
  if (!threads_.empty()) FlushChanges(1);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
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
  for (uint32_t slot = fresh_slot_; slot-- > 0;) {
    if (!taken[slot]) free_slots_.push_back(slot);
  }
}

// -- The owner ----------------------------------------------------------------------------------------------

bool PageStore::Contains(const PageKey& key) const {
  const auto found = entries_.find(key);
  return found != entries_.end() && found->second.stored && !found->second.bad;
}

TierUsage PageStore::Usage() const {
  const auto slot_bytes = static_cast<int64_t>(slab_.slot_bytes());
  const auto pages = std::ssize(entries_);
  return {.pages = pages, .bytes = pages * slot_bytes, .limit = slab_.slots() * slot_bytes};
}

// Into the order of eviction, if it can leave.
void PageStore::Settle(Entries::iterator entry) {
  if (entry->second.stored && entry->second.readers == 0) {
    order_.emplace(entry->second.place.last_use, entry->first);
  }
}

void PageStore::Remove(Entries::iterator entry) {
  order_.erase({entry->second.place.last_use, entry->first});
  free_slots_.push_back(entry->second.place.slot);
  entries_.erase(entry);
}

// A free slot, or that of the page that was not used for the longest time, which is a change.
std::optional<uint32_t> PageStore::TakeSlot(std::vector<CatalogChange>& changes) {
  if (free_slots_.empty() && fresh_slot_ < slab_.slots()) return fresh_slot_++;
  if (free_slots_.empty()) {
    if (order_.empty()) return std::nullopt;
    const PageKey oldest = order_.begin()->second;
    Remove(entries_.find(oldest));
    changes.push_back({oldest, std::nullopt});
    ++counts_.evicted;
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

bool PageStore::StartWrite(const PageKey& key, std::span<const std::byte> page, uint64_t tag) {
  if (under_way_ == options_.depth || entries_.contains(key)) return false;
  if (resting_until_ && clock_.Now() < *resting_until_) return false;
  Move move{.kind = Move::Kind::kWrite, .key = key, .tag = tag, .from = page};
  const std::optional<uint32_t> slot = TakeSlot(move.changes);
  if (!slot) return false;
  move.place = {.slot = *slot, .last_use = ++uses_};
  entries_.emplace(key, Entry{.place = move.place});
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
  Start({.kind = Move::Kind::kRead, .key = key, .place = entry.place, .tag = tag, .to = page});
  return true;
}

void PageStore::TakeCompleted(std::vector<Completion>& completed) {
  std::vector<Move> done;
  {
    const std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  for (const Move& move : done) {
    move.kind == Move::Kind::kWrite ? TookWrite(move) : TookRead(move);
    --under_way_;
    completed.push_back({.tag = move.tag, .ok = move.ok});
  }
  FlushChanges(kChangesAtOnce);
}

void PageStore::TookWrite(const Move& move) {
  const auto entry = entries_.find(move.key);
  if (move.ok) {
    entry->second.stored = true;
    return Settle(entry);
  }
  ++counts_.write_errors;
  Remove(entry);
  resting_until_ = clock_.Now() + kRest;
  Tell("the disk takes no KV pages now, and is tried again in ten seconds", move.error);
}

void PageStore::TookRead(const Move& move) {
  const auto entry = entries_.find(move.key);
  --entry->second.readers;
  if (!move.ok) {
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
  Start({.kind = Move::Kind::kChanges, .changes = std::exchange(changes_, {})});
}

// Each cause once.
void PageStore::Tell(std::string_view cause, int error) {
  if (!told_.emplace(cause).second) return;
  options_.log(error == 0 ? fmt::format("{}: {}", options_.folder.string(), cause)
                          : fmt::format("{}: {}: {}", options_.folder.string(), cause, std::strerror(error)));
}

void PageStore::Start(Move move) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(move));
  work_.notify_one();
}

// -- The threads --------------------------------------------------------------------------------------------

void PageStore::Work() {
  while (true) {
    Move move;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      move = std::move(queue_.front());
      queue_.pop_front();
    }
    switch (move.kind) {
      case Move::Kind::kRead:
        Read(move);
        break;
      case Move::Kind::kWrite:
        Write(move);
        break;
      case Move::Kind::kChanges:
        catalog_.Write(move.changes);  // what is lost is the order of eviction
    }
  }
}

void PageStore::Read(Move& move) {
  PageTrailer trailer;
  move.ok = slab_.Read(move.place.slot, move.to, trailer);
  move.error = move.ok ? 0 : errno;
  move.ok = move.ok && seal_.Open(move.key, move.to, trailer);
  Complete({std::move(move)});
}

void PageStore::Write(Move& move) {
  std::vector<std::byte> room;
  PageTrailer trailer;
  const auto sealed = seal_.Close(move.key, move.from, room, trailer);
  move.ok = sealed && slab_.Write(move.place.slot, *sealed, trailer);
  move.error = move.ok ? 0 : errno;
  if (move.ok) move.changes.push_back({move.key, move.place});
  {
    const std::lock_guard lock(mutex_);
    written_.push_back(std::move(move));
  }
  Commit();
}

// Whoever comes first commits for all that wait.
void PageStore::Commit() {
  const std::lock_guard one(commit_mutex_);
  std::vector<Move> written;
  {
    const std::lock_guard lock(mutex_);
    written.swap(written_);
  }
  if (written.empty()) return;
  std::vector<CatalogChange> changes;
  for (const Move& move : written) changes.insert(changes.end(), move.changes.begin(), move.changes.end());
  if (!catalog_.Write(changes)) {
    for (Move& move : written) {
      move.ok = false;
      move.error = EIO;
    }
  }
  Complete(std::move(written));
}

void PageStore::Complete(std::vector<Move> moves) {
  {
    const std::lock_guard lock(mutex_);
    std::ranges::move(moves, std::back_inserter(done_));
  }
  wake_();
}

}  // namespace quire

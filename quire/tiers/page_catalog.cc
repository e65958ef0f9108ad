#include "quire/tiers/page_catalog.h"

#include <lmdb.h>

#include <cstring>
#include <utility>

namespace quire {
namespace {

constexpr size_t kMapBytes = size_t{1} << 30;  // address space; some ten million pages

struct Record {  // as it lies in the file
  uint64_t last_use;
  uint32_t slot;
  uint32_t zero;
};

MDB_val ValueOf(const PageKey& key) { return {key.size(), const_cast<std::byte*>(key.data())}; }

}  // namespace

PageCatalog::~PageCatalog() { Close(); }

void PageCatalog::Close() {
  if (env_ != nullptr) mdb_env_close(std::exchange(env_, nullptr));
}

Status PageCatalog::Open(const std::filesystem::path& path) {
  if (OpenFile(path)) return {};
  Close();
  std::error_code ignored;
  replaced_ = std::filesystem::remove(path, ignored);
  return OpenFile(path);
}

Status PageCatalog::OpenFile(const std::filesystem::path& path) {
  MDB_txn* transaction = nullptr;
  int error = mdb_env_create(&env_);
  if (error == 0) error = mdb_env_set_mapsize(env_, kMapBytes);
  if (error == 0) error = mdb_env_open(env_, path.c_str(), MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0600);
  if (error == 0 && !IsWhole(path)) error = MDB_CORRUPTED;
  if (error == 0) error = mdb_txn_begin(env_, nullptr, 0, &transaction);
  if (error == 0) {
    error = mdb_dbi_open(transaction, nullptr, 0, &table_);
    if (error == 0) {
      error = mdb_txn_commit(transaction);
    } else {
      mdb_txn_abort(transaction);
    }
  }
  if (error == 0) return {};
  return Fail(ErrorCode::kIo, "{}: the index of KV pages cannot be opened: {}", path.string(),
              mdb_strerror(error));
}

// LMDB reads its file through a mapping, and what is missing at its end would kill the process.
bool PageCatalog::IsWhole(const std::filesystem::path& path) const {
  MDB_envinfo info;
  MDB_stat facts;
  if (mdb_env_info(env_, &info) != 0 || mdb_env_stat(env_, &facts) != 0) return false;
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  return !error && (info.me_last_pgno + 1) * facts.ms_psize <= bytes;
}

std::vector<CatalogEntry> PageCatalog::Read() const {
  std::vector<CatalogEntry> entries;
  MDB_txn* transaction = nullptr;
  MDB_cursor* cursor = nullptr;
  if (mdb_txn_begin(env_, nullptr, MDB_RDONLY, &transaction) != 0) return entries;
  if (mdb_cursor_open(transaction, table_, &cursor) == 0) {
    MDB_val key, value;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
      CatalogEntry entry;
      Record record;
      if (key.mv_size != entry.key.size() || value.mv_size != sizeof(record)) continue;
      std::memcpy(entry.key.data(), key.mv_data, key.mv_size);
      std::memcpy(&record, value.mv_data, sizeof(record));
      entry.place = {.slot = record.slot, .last_use = record.last_use};
      entries.push_back(entry);
    }
    mdb_cursor_close(cursor);
  }
  mdb_txn_abort(transaction);
  return entries;
}

bool PageCatalog::Write(std::span<const CatalogChange> changes) {
  const std::lock_guard lock(mutex_);
  MDB_txn* transaction = nullptr;
  if (mdb_txn_begin(env_, nullptr, 0, &transaction) != 0) return false;
  for (const CatalogChange& change : changes) {
    MDB_val key = ValueOf(change.key);
    int error = 0;
    if (change.place) {
      Record record{.last_use = change.place->last_use, .slot = change.place->slot, .zero = 0};
      MDB_val value{sizeof(record), &record};
      error = mdb_put(transaction, table_, &key, &value, 0);
    } else {
      error = mdb_del(transaction, table_, &key, nullptr);
      if (error == MDB_NOTFOUND) error = 0;
    }
    if (error != 0) {
      mdb_txn_abort(transaction);
      return false;
    }
  }
  return mdb_txn_commit(transaction) == 0;
}

}  // namespace quire

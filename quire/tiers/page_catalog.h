// Which page lies in which slot, on disk: what survives the process. Kept in LMDB, whose transactions are
// all there or not at all after a crash at any moment.
#ifndef QUIRE_TIERS_PAGE_CATALOG_H_
#define QUIRE_TIERS_PAGE_CATALOG_H_

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "quire/base/result.h"
#include "quire/tiers/page_key.h"

struct MDB_env;

namespace quire {

struct PagePlace {
  uint32_t slot = 0;
  uint64_t last_use = 0;  // on a clock of uses
};

struct CatalogEntry {
  PageKey key = {};
  PagePlace place;
};

struct CatalogChange {
  PageKey key = {};
  std::optional<PagePlace> place;  // none: the page is gone
};

// Thread-safe.
class PageCatalog {
 public:
  PageCatalog() = default;
  PageCatalog(const PageCatalog&) = delete;
  PageCatalog& operator=(const PageCatalog&) = delete;
  ~PageCatalog();

  // Opens or makes the file; one that is damaged is replaced by an empty one. Errors: kIo.
  // REQUIRES: Open is called once, by the only process that uses the file.
  Status Open(const std::filesystem::path& path);
  bool replaced() const { return replaced_; }
  // Everything in it.
  std::vector<CatalogEntry> Read() const;
  // All of the changes, or none: false when the disk refuses them.
  bool Write(std::span<const CatalogChange> changes);

 private:
  Status OpenFile(const std::filesystem::path& path);
  bool IsWhole(const std::filesystem::path& path) const;
  void Close();

  MDB_env* env_ = nullptr;
  unsigned table_ = 0;
  bool replaced_ = false;
  std::mutex mutex_;  // one transaction at a time
};

}  // namespace quire

#endif  // QUIRE_TIERS_PAGE_CATALOG_H_

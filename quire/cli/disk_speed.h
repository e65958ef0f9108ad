// How fast a disk tier moves pages.
#ifndef QUIRE_CLI_DISK_SPEED_H_
#define QUIRE_CLI_DISK_SPEED_H_

#include <cstddef>
#include <filesystem>

#include "quire/base/result.h"
#include "quire/sim/machine_profile.h"
#include "quire/tiers/page_store.h"

namespace quire {

struct MovedPages {
  int pages = 0;
  int failed = 0;
  double seconds = 0;

  double bytes_per_second(size_t page_bytes) const {
    return static_cast<double>(pages - failed) * static_cast<double>(page_bytes) / seconds;
  }
};
// Writes pages 0 to `pages`, or reads them back; fewer where the store takes or has no more.
MovedPages MovePages(PageStore& store, size_t page_bytes, int pages, bool writes);

// How fast pages go down to a tier in `folder` and come back from its disk. Leaves nothing behind. Errors:
// those of PageStore.
Status MeasureDisk(const std::filesystem::path& folder, MachineProfile& profile);

}  // namespace quire

#endif  // QUIRE_CLI_DISK_SPEED_H_

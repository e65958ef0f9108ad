// How fast a disk reads, measured in a moment: a file is written, read, and removed again.
#ifndef QUIRE_TIERS_DISK_PROBE_H_
#define QUIRE_TIERS_DISK_PROBE_H_

#include <cstdint>
#include <filesystem>
#include <functional>

namespace quire {

// Calls `learn` for a few reads, small and large, that no cache of the system answers, where that can be had.
// Not at all where the disk does not take the file.
void ProbeReads(const std::filesystem::path& file,
                const std::function<void(int64_t bytes, double seconds)>& learn);

}  // namespace quire

#endif  // QUIRE_TIERS_DISK_PROBE_H_

// Where a machine's profile comes from: measured here and now, or read from what `quire doctor --json` wrote
// on that machine.
#ifndef QUIRE_CLI_PROFILE_SOURCE_H_
#define QUIRE_CLI_PROFILE_SOURCE_H_

#include <string>

#include "quire/base/result.h"
#include "quire/sim/machine_profile.h"

namespace quire {

// With a progress bar. `disk_folder` is where a disk tier is measured; empty: it is not. Errors:
// kResourceExhausted, and those of the folder.
Result<MachineProfile> MeasureProfile(int threads, const std::string& disk_folder);

// The profile alone, or the whole output of doctor. Errors: kNotFound, kIo, kCorrupt.
Result<MachineProfile> ReadProfile(const std::string& path);

}  // namespace quire

#endif  // QUIRE_CLI_PROFILE_SOURCE_H_

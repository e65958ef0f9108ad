#include "quire/cli/profile_source.h"

#include <filesystem>

#include "quire/base/thread_pool.h"
#include "quire/cli/disk_speed.h"
#include "quire/cli/machine_facts.h"
#include "quire/cli/machine_speed.h"
#include "quire/cli/progress.h"
#include "quire/files/json_text.h"

namespace quire {

Result<MachineProfile> MeasureProfile(int threads, const std::string& disk_folder) {
  ProgressBar bar("measuring this machine");
  ThreadPool pool(threads);
  QUIRE_ASSIGN(MachineProfile profile,
               MeasureMachine(BestKernels(), pool, [&bar](double share) { bar.Set(share); }));
  profile.name = ReadMachineFacts().cpu;
  if (!disk_folder.empty()) {
    std::error_code error;
    std::filesystem::create_directories(disk_folder, error);
    QUIRE_TRY(MeasureDisk(disk_folder, profile));
  }
  return profile;
}

Result<MachineProfile> ReadProfile(const std::string& path) {
  QUIRE_ASSIGN(const nlohmann::json json, ReadJsonFile(path, {.most_bytes = 1 << 20}));
  const auto inside = json.is_object() ? json.find("profile") : json.end();
  return ParseProfile(inside != json.end() ? *inside : json, path);
}

}  // namespace quire

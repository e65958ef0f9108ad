// What the system says about this machine, as far as it bears on speed and room. Everything is read from
// files below a root folder, so tests can show it another machine.
#ifndef QUIRE_CLI_MACHINE_FACTS_H_
#define QUIRE_CLI_MACHINE_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>

namespace quire {

struct MachineFacts {
  std::string cpu;  // "AMD EPYC ..."
  int online_cpus = 0;
  bool virtual_machine = false;
  std::string governor;               // "powersave"; empty where it cannot be read
  double load = 0;                    // average of the last minute
  std::optional<double> steal_share;  // of all CPU time since boot, taken by the host

  uint64_t memory_bytes = 0;
  uint64_t swap_used_bytes = 0;
  std::optional<uint64_t> cgroup_memory_bytes;  // the limit, where there is one
  std::optional<double> cgroup_cpus;            // the quota, where there is one
  std::string huge_pages;                       // "always", "madvise", "never"; empty where unknown
};

MachineFacts ReadMachineFacts(const std::string& root = "");

struct FolderFacts {
  std::string file_system;  // "ext4", "nfs", ...; "unknown"
  bool over_network = false;
  bool in_memory = false;
  uint64_t free_bytes = 0;
};

// Of the folder, or the nearest one above it that exists.
FolderFacts ReadFolderFacts(const std::string& folder);

}  // namespace quire

#endif  // QUIRE_CLI_MACHINE_FACTS_H_

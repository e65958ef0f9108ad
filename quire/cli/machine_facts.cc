#include "quire/cli/machine_facts.h"

#include <sys/vfs.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <sstream>
#include <string_view>
#include <vector>

namespace quire {
namespace {

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::string text(std::istreambuf_iterator<char>(file), {});
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

void ReadCpuInfo(const std::string& root, MachineFacts& facts) {
  std::istringstream lines(ReadText(root + "/proc/cpuinfo"));
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    const std::string value = colon + 2 < line.size() ? line.substr(colon + 2) : "";
    if (line.starts_with("processor")) ++facts.online_cpus;
    if (line.starts_with("model name") && facts.cpu.empty()) facts.cpu = value;
    if (line.starts_with("flags"))
      facts.virtual_machine |= (value + " ").find(" hypervisor ") != std::string::npos;
  }
}

void ReadMemInfo(const std::string& root, MachineFacts& facts) {
  std::istringstream lines(ReadText(root + "/proc/meminfo"));
  uint64_t swap_total = 0, swap_free = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    uint64_t kib = 0;
    words >> name >> kib;
    if (name == "MemTotal:") facts.memory_bytes = kib * 1024;
    if (name == "SwapTotal:") swap_total = kib * 1024;
    if (name == "SwapFree:") swap_free = kib * 1024;
  }
  facts.swap_used_bytes = swap_total - swap_free;
}

void ReadLoad(const std::string& root, MachineFacts& facts) {
  std::istringstream(ReadText(root + "/proc/loadavg")) >> facts.load;
  // cpu user nice system idle iowait irq softirq steal ...
  std::istringstream words(ReadText(root + "/proc/stat"));
  std::string name;
  words >> name;
  std::vector<double> times;
  for (double time = 0; times.size() < 8 && words >> time;) times.push_back(time);
  const double total = std::accumulate(times.begin(), times.end(), 0.0);
  if (times.size() == 8 && total > 0) facts.steal_share = times[7] / total;
}

// The limits of this process's cgroup (version 2) and of those above it: the smallest counts.
void ReadCgroup(const std::string& root, MachineFacts& facts) {
  std::string path = ReadText(root + "/proc/self/cgroup");
  const size_t at = path.find("0::");
  if (at == std::string::npos) return;
  path = path.substr(at + 3, path.find('\n', at) - at - 3);
  while (true) {
    const std::string folder = root + "/sys/fs/cgroup" + path;
    uint64_t bytes = 0;
    if (std::istringstream(ReadText(folder + "/memory.max")) >> bytes) {
      facts.cgroup_memory_bytes = std::min(bytes, facts.cgroup_memory_bytes.value_or(UINT64_MAX));
    }
    double quota = 0, period = 0;
    if (std::istringstream(ReadText(folder + "/cpu.max")) >> quota >> period && period > 0) {
      facts.cgroup_cpus = std::min(quota / period, facts.cgroup_cpus.value_or(1e9));
    }
    if (path.empty() || path == "/") return;
    path = path.substr(0, path.rfind('/'));
  }
}

// "always [madvise] never"
std::string Chosen(const std::string& text) {
  const size_t begin = text.find('['), end = text.find(']');
  return begin == std::string::npos || end == std::string::npos ? ""
                                                                : text.substr(begin + 1, end - begin - 1);
}

struct FileSystem {
  unsigned long magic;
  const char* name;
  bool over_network;
  bool in_memory;
};

// statfs(2) and linux/magic.h
constexpr FileSystem kFileSystems[] = {
    {0xEF53, "ext4", false, false},        {0x58465342, "xfs", false, false},
    {0x9123683E, "btrfs", false, false},   {0x2FC12FC1, "zfs", false, false},
    {0x794C7630, "overlay", false, false}, {0x01021994, "tmpfs", false, true},
    {0x6969, "nfs", true, false},          {0xFE534D42, "smb2", true, false},
    {0xFF534D42, "cifs", true, false},     {0x65735546, "fuse", true, false},
    {0x01021997, "9p", true, false},       {0x00C36400, "ceph", true, false},
    {0x0BD00BD0, "lustre", true, false},   {0x2011BAB0, "exfat", false, false},
    {0x4D44, "vfat", false, false},        {0x6A656A63, "virtiofs", true, false},
};

}  // namespace

MachineFacts ReadMachineFacts(const std::string& root) {
  MachineFacts facts;
  ReadCpuInfo(root, facts);
  ReadMemInfo(root, facts);
  ReadLoad(root, facts);
  ReadCgroup(root, facts);
  facts.governor = ReadText(root + "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  facts.huge_pages = Chosen(ReadText(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
  return facts;
}

FolderFacts ReadFolderFacts(const std::string& folder) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(folder, error);
  while (!std::filesystem::exists(path, error) && path.has_relative_path()) path = path.parent_path();
  FolderFacts facts{.file_system = "unknown"};
  struct statfs info{};
  if (statfs(path.c_str(), &info) != 0) return facts;
  facts.free_bytes = static_cast<uint64_t>(info.f_bavail) * static_cast<uint64_t>(info.f_bsize);
  for (const FileSystem& known : kFileSystems) {
    if (known.magic != static_cast<unsigned long>(info.f_type)) continue;
    facts.file_system = known.name;
    facts.over_network = known.over_network;
    facts.in_memory = known.in_memory;
  }
  return facts;
}

}  // namespace quire

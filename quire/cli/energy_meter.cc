#include "quire/cli/energy_meter.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace quire {
namespace {

namespace fs = std::filesystem;

std::optional<uint64_t> ReadCount(const std::string& path) {
  std::ifstream file(path);
  uint64_t count = 0;
  if (file >> count) return count;
  return std::nullopt;
}

}  // namespace

EnergyMeter::EnergyMeter(const std::string& root) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(root + "/sys/class/powercap", none)) {
    // "intel-rapl:0" is a package, on AMD as well; "intel-rapl:0:1" a part of it.
    const std::string name = entry.path().filename();
    if (!name.starts_with("intel-rapl:") || std::ranges::count(name, ':') != 1) continue;
    packages_.push_back({entry.path() / "energy_uj"});
    packages_.back().range = ReadCount(entry.path() / "max_energy_range_uj").value_or(0);
  }
  Take();
}

std::optional<double> EnergyMeter::Take() {
  if (packages_.empty()) return std::nullopt;
  uint64_t microjoules = 0;
  for (Package& package : packages_) {
    const std::optional<uint64_t> now = ReadCount(package.counter);
    if (!now) return std::nullopt;
    microjoules += *now >= package.last ? *now - package.last : *now + package.range - package.last;
    package.last = *now;
  }
  return static_cast<double>(microjoules) / 1e6;
}

}  // namespace quire

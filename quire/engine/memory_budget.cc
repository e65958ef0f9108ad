#include "quire/engine/memory_budget.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

#include "quire/base/byte_size.h"

namespace quire {
namespace {

std::optional<uint64_t> ReadNumber(const char* path) {
  std::ifstream file(path);
  uint64_t number = 0;
  if (file >> number) return number;  // "max" is no number
  return std::nullopt;
}

// A line of /proc/meminfo; 0 without it.
uint64_t MemInfo(const std::string& wanted) {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  uint64_t kib = 0;
  while (file >> key >> kib) {
    if (key == wanted) return kib * 1024;
    std::getline(file, unit);
  }
  return 0;
}

}  // namespace

uint64_t AvailableMemoryBytes() {
  uint64_t available = MemInfo("MemAvailable:");
  const auto limit = ReadNumber("/sys/fs/cgroup/memory.max");
  const auto used = ReadNumber("/sys/fs/cgroup/memory.current");
  if (limit && used) available = std::min(available, *limit > *used ? *limit - *used : 0);
  return available;
}

uint64_t TotalMemoryBytes() {
  const uint64_t total = MemInfo("MemTotal:");
  return std::min(total, ReadNumber("/sys/fs/cgroup/memory.max").value_or(total));
}

Result<KvBudget> BudgetKvMemory(const std::string& setting, const KvDemand& demand) {
  KvBudget budget;
  const std::string available = FormatByteSize(demand.available_bytes);
  if (!setting.empty()) {
    const auto bytes = ParseByteSize(setting, demand.available_bytes);
    if (!bytes) return Fail(bytes.error().code, "--kv-memory: {}", bytes.error().message);
    budget.bytes = *bytes;
    if (budget.bytes < demand.page_bytes) {
      return Fail(ErrorCode::kInvalidArgument, "--kv-memory {} holds not one page of {}; give it at least {}",
                  setting, FormatByteSize(demand.page_bytes), FormatByteSize(demand.least_bytes));
    }
    budget.reason = fmt::format("as --kv-memory {} says, of {} free", setting, available);
  } else {
    const double all = static_cast<double>(demand.least_bytes) * static_cast<double>(demand.sequences);
    const uint64_t half = demand.available_bytes / 2;
    if (all <= static_cast<double>(half)) {
      budget.bytes = static_cast<uint64_t>(all);
      budget.reason = fmt::format("all that {} sequences of {} tokens can use, of {} free", demand.sequences,
                                  demand.context_tokens, available);
    } else {
      budget.bytes = std::max<uint64_t>(half, demand.page_bytes);
      budget.reason = fmt::format("half of the {} that is free", available);
    }
  }
  const uint64_t tokens = budget.bytes / std::max<uint64_t>(1, demand.bytes_per_token);
  budget.reason = fmt::format("KV memory: {} for {} tokens ({}; change with --kv-memory)",
                              FormatByteSize(budget.bytes), tokens, budget.reason);
  return budget;
}

}  // namespace quire

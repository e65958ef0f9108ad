// How much memory the KV pages get, and the sentence that explains it.
#ifndef QUIRE_ENGINE_MEMORY_BUDGET_H_
#define QUIRE_ENGINE_MEMORY_BUDGET_H_

#include <cstdint>
#include <string>

#include "quire/base/result.h"

namespace quire {

// Memory that can be taken without swapping: MemAvailable, at most what a cgroup limit leaves. 0 when the
// system does not tell.
uint64_t AvailableMemoryBytes();

// Memory that there is for all: of the machine, at most the cgroup's limit. 0 when the system does not tell.
uint64_t TotalMemoryBytes();

struct KvDemand {
  uint64_t available_bytes = 0;  // after the weights were loaded
  uint64_t bytes_per_token = 0;
  uint64_t page_bytes = 0;
  int64_t context_tokens = 0;  // longest sequence that is served
  int64_t sequences = 0;       // most that run at once
  uint64_t least_bytes = 0;    // one sequence of context_tokens
};

struct KvBudget {
  uint64_t bytes = 0;
  std::string reason;
};

// `setting` is the user's ("4GiB", "50%" of what is available); empty derives it: half of what is available,
// at most what all sequences at full length could use. Errors: kInvalidArgument for a bad or useless setting.
Result<KvBudget> BudgetKvMemory(const std::string& setting, const KvDemand& demand);

}  // namespace quire

#endif  // QUIRE_ENGINE_MEMORY_BUDGET_H_

// Where the memory of the process is: every byte by what it is for, and the KV bytes also by whose they are.
#ifndef QUIRE_ENGINE_MEMORY_REPORT_H_
#define QUIRE_ENGINE_MEMORY_REPORT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "quire/base/clock.h"
#include "quire/engine/scheduler.h"
#include "quire/model/language_model.h"

namespace quire {

// What the live sequences of a request hold.
struct RequestMemory {
  std::string id;
  std::string tenant;
  std::string kv_type;   // of its pages
  bool running = false;  // else it waits, without pages
  int sequences = 0;
  double age_s = 0;
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;  // of all its sequences
  int64_t cached_tokens = 0;  // of the prompt, that others had computed
  int64_t own_bytes = 0;      // in pages that no other live request holds
  int64_t shared_bytes = 0;   // in pages that others hold as well
};

// Pages below the pool, and on their way.
struct TierMemory {
  std::vector<TierUsage> places;  // the fastest first
  int64_t restoring_bytes = 0;    // of kv.used, in pages that are being filled from the tier
  int64_t move_bytes = 0;         // of main memory, in buffers for pages on their way
};

// KV pages of one type.
struct KvTypeMemory {
  std::string name;
  int64_t page_tokens = 0;
  LayoutUsage usage;
};

struct MemoryReport {
  KvUsage kv;
  int64_t page_bytes = 0;
  int64_t page_tokens = 0;  // of the first type
  std::vector<KvTypeMemory> types;
  int64_t shared_bytes = 0;               // of kv.used, in pages of several requests, once
  int64_t pinned_bytes = 0;               // of all states
  std::map<std::string, OwnerPins> pins;  // by owner
  IndexUsage index;
  std::optional<TierMemory> tier;
  int64_t weight_bytes = 0;
  int64_t activation_bytes = 0;
  int64_t resident_bytes = 0;           // of the process, mapped files included; 0 where /proc does not tell
  std::vector<RequestMemory> requests;  // the largest first
};

// Of main memory that the process has, mapped files included; 0 where /proc does not tell.
int64_t ResidentBytes();

MemoryReport ReportMemory(const Scheduler& scheduler, const ModelInfo& model, TimePoint now);

}  // namespace quire

#endif  // QUIRE_ENGINE_MEMORY_REPORT_H_

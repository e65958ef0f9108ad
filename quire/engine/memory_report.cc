#include "quire/engine/memory_report.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <unordered_map>
#include <unordered_set>

namespace quire {
namespace {

// Who holds a page: one request, or kSeveral.
using Holders = std::unordered_map<PageId, uint64_t>;
constexpr uint64_t kSeveral = 0;  // requests count from 1

template <typename Visit>
void ForEachPage(const Sequence& sequence, Visit visit) {
  for (const std::vector<PageId>& group : sequence.pages.groups) {
    for (const PageId page : group) {
      if (page != kNoPage) visit(page);
    }
  }
}

Holders FindHolders(const Scheduler& scheduler) {
  Holders holders;
  for (const auto& sequence : scheduler.running()) {
    ForEachPage(*sequence, [&](PageId page) {
      const auto [found, is_new] = holders.emplace(page, sequence->owner->id);
      if (!is_new && found->second != sequence->owner->id) found->second = kSeveral;
    });
  }
  return holders;
}

// Of one request.
struct Sequences {
  std::vector<const Sequence*> running, waiting;
};

RequestMemory MemoryOf(const Sequences& sequences, const Holders& holders, int64_t page_bytes,
                       TimePoint now) {
  RequestMemory memory;
  memory.running = !sequences.running.empty();
  std::unordered_set<PageId> seen;
  for (const auto* some : {&sequences.running, &sequences.waiting}) {
    for (const Sequence* sequence : *some) {
      const LiveRequest& owner = *sequence->owner;
      memory.id = owner.request.id;
      memory.tenant = owner.request.tenant;
      memory.age_s = Seconds(now - owner.arrival);
      memory.prompt_tokens = owner.prompt_tokens();
      memory.output_tokens += sequence->output_tokens();
      memory.cached_tokens = std::max(memory.cached_tokens, sequence->cached);
      ++memory.sequences;
      ForEachPage(*sequence, [&](PageId page) {
        if (!seen.insert(page).second) return;
        (holders.at(page) == kSeveral ? memory.shared_bytes : memory.own_bytes) += page_bytes;
      });
    }
  }
  return memory;
}

}  // namespace

int64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  int64_t size = 0, resident = 0;
  if (std::fscanf(file, "%ld %ld", &size, &resident) != 2) resident = 0;
  std::fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

MemoryReport ReportMemory(const Scheduler& scheduler, const ModelInfo& model, TimePoint now) {
  const KvCache& cache = scheduler.cache();
  MemoryReport report;
  report.kv = cache.Usage();
  report.page_bytes = static_cast<int64_t>(cache.layout().page_bytes());
  report.page_tokens = cache.layout().page_tokens();
  for (const KvLayout& layout : cache.layouts()) {
    const LayoutUsage usage = cache.UsageOf(static_cast<int>(report.types.size()));
    report.types.push_back({layout.name(), layout.page_tokens(), usage});
  }
  report.index = cache.index_usage();
  report.pinned_bytes = report.index.pinned_pages * report.page_bytes;
  report.pins = cache.pins().ByOwner();
  if (const PageArchive* archive = scheduler.archive()) {
    report.tier = {.places = archive->TierUsages(),
                   .restoring_bytes = archive->restoring_bytes(),
                   .move_bytes = archive->move_bytes()};
  }
  report.weight_bytes = model.weight_bytes;
  report.activation_bytes = model.activation_bytes;
  report.resident_bytes = ResidentBytes();

  const Holders holders = FindHolders(scheduler);
  for (const auto& [page, holder] : holders) {
    if (holder == kSeveral) report.shared_bytes += report.page_bytes;
  }
  std::map<uint64_t, Sequences> requests;
  for (const auto& sequence : scheduler.running())
    requests[sequence->owner->id].running.push_back(sequence.get());
  for (const auto& sequence : scheduler.waiting())
    requests[sequence->owner->id].waiting.push_back(sequence.get());
  for (const auto& [id, sequences] : requests) {
    report.requests.push_back(MemoryOf(sequences, holders, report.page_bytes, now));
    const Sequence& any = *(sequences.running.empty() ? sequences.waiting : sequences.running).front();
    report.requests.back().kv_type = cache.LayoutOf(any.pages).name();
  }
  std::ranges::stable_sort(report.requests, std::greater(), [](const RequestMemory& request) {
    return request.own_bytes + request.shared_bytes;
  });
  return report;
}

}  // namespace quire

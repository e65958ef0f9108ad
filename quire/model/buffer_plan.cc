#include "quire/model/buffer_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace quire {
namespace {

size_t Aligned(size_t bytes) {
  constexpr size_t kTo = BufferPlan::kBufferAlignment;
  return (bytes + kTo - 1) / kTo * kTo;
}

struct Placed {
  size_t begin, end;
};

// The start of the smallest gap of at least `bytes` between `taken`, or behind them. REQUIRES: sorted by
// begin.
size_t BestGap(std::span<const Placed> taken, size_t bytes) {
  size_t best = std::numeric_limits<size_t>::max(), best_size = best, free_from = 0;
  for (const Placed& p : taken) {
    if (p.begin > free_from && p.begin - free_from >= bytes && p.begin - free_from < best_size) {
      best = free_from;
      best_size = p.begin - free_from;
    }
    free_from = std::max(free_from, p.end);
  }
  return best_size == std::numeric_limits<size_t>::max() ? free_from : best;
}

}  // namespace

BufferPlan PlanBuffers(std::span<const BufferNeed> needs) {
  std::vector<size_t> order(needs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](size_t i) { return needs[i].bytes; });

  BufferPlan plan{.offsets = std::vector<size_t>(needs.size()), .bytes = 0};
  std::vector<Placed> taken;
  for (size_t at = 0; at < order.size(); ++at) {
    const BufferNeed& need = needs[order[at]];
    taken.clear();
    for (const size_t other : std::span(order).first(at)) {
      if ((needs[other].live & need.live) == 0) continue;
      taken.push_back({plan.offsets[other], plan.offsets[other] + Aligned(needs[other].bytes)});
    }
    std::ranges::sort(taken, {}, &Placed::begin);
    const size_t bytes = Aligned(need.bytes), offset = BestGap(taken, bytes);
    plan.offsets[order[at]] = offset;
    plan.bytes = std::max(plan.bytes, offset + bytes);
  }
  return plan;
}

size_t LeastBytes(std::span<const BufferNeed> needs) {
  size_t most = 0;
  for (int operation = 0; operation < 32; ++operation) {
    size_t live = 0;
    for (const BufferNeed& need : needs) live += (need.live >> operation & 1) != 0 ? Aligned(need.bytes) : 0;
    most = std::max(most, live);
  }
  return most;
}

size_t SeparateBytes(std::span<const BufferNeed> needs) {
  size_t bytes = 0;
  for (const BufferNeed& need : needs) bytes += Aligned(need.bytes);
  return bytes;
}

}  // namespace quire

#include "quire/kernels/page_summary.h"

#include <algorithm>
#include <bit>

namespace quire {
namespace {

enum class Direction { kDown, kUp };

// The nearest bfloat that is not beyond x in the other direction.
uint16_t RoundTo(Direction direction, float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const auto towards_zero = static_cast<uint16_t>(bits >> 16);
  const bool grows = (x > 0) == (direction == Direction::kUp);
  return grows && (bits & 0xffff) != 0 ? static_cast<uint16_t>(towards_zero + 1) : towards_zero;
}

}  // namespace

int64_t SummaryPartBytes(int head_dim) { return 2 * static_cast<int64_t>(sizeof(uint16_t)) * head_dim; }

size_t PageSummaryBytes(int page_tokens, int head_dim) {
  static_assert(kPageLane % kSummaryTokens == 0);
  constexpr size_t kLine = 64;
  const auto bytes = static_cast<size_t>(page_tokens / kSummaryTokens * SummaryPartBytes(head_dim));
  return (bytes + kLine - 1) / kLine * kLine;
}

int64_t SummaryScratchFloats(int head_dim) { return int64_t{4} * head_dim; }

void SummarizeKeys(const KernelTable& kernels, DType type, int page_tokens, int head_dim,
                   const std::byte* k_tile, const std::byte* v_tile, float* scratch, std::byte* summary) {
  float *const high = scratch, *const low = high + head_dim, *const k = low + head_dim,
               *const v = k + head_dim;
  auto* out = reinterpret_cast<uint16_t*>(summary);
  for (int slot = 0; slot < page_tokens; ++slot) {
    kernels.load_kv(type, page_tokens, head_dim, slot, k_tile, v_tile, k, v);
    const bool first = slot % kSummaryTokens == 0, last = (slot + 1) % kSummaryTokens == 0;
    for (int d = 0; d < head_dim; ++d) {
      high[d] = first ? k[d] : std::max(high[d], k[d]);
      low[d] = first ? k[d] : std::min(low[d], k[d]);
    }
    if (!last) continue;
    for (int d = 0; d < head_dim; ++d) *out++ = RoundTo(Direction::kUp, high[d]);
    for (int d = 0; d < head_dim; ++d) *out++ = RoundTo(Direction::kDown, low[d]);
  }
}

}  // namespace quire

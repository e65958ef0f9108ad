#include "quire/kernels/page_summary.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "quire/base/check.h"
#include "quire/kernels/kv_codec.h"

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

void WriteExtremes(const KernelTable& kernels, const FullPageTiles& page, float* scratch,
                   std::byte* summary) {
  const int head_dim = page.head_dim;
  float *const high = scratch, *const low = high + head_dim, *const k = low + head_dim,
               *const v = k + head_dim;
  auto* out = reinterpret_cast<uint16_t*>(summary);
  for (int slot = 0; slot < page.page_tokens; ++slot) {
    kernels.load_kv(page.type, page.page_tokens, head_dim, slot, page.k_tile, page.v_tile, k, v);
    const bool first = slot % kExtremesTokens == 0, last = (slot + 1) % kExtremesTokens == 0;
    for (int d = 0; d < head_dim; ++d) {
      high[d] = first ? k[d] : std::max(high[d], k[d]);
      low[d] = first ? k[d] : std::min(low[d], k[d]);
    }
    if (!last) continue;
    for (int d = 0; d < head_dim; ++d) *out++ = RoundTo(Direction::kUp, high[d]);
    for (int d = 0; d < head_dim; ++d) *out++ = RoundTo(Direction::kDown, low[d]);
  }
}

size_t CodesBytes(int page_tokens, int head_dim) { return KvTileBytes(DType::kInt4, page_tokens, head_dim); }

void WriteCodes(const KernelTable& kernels, const FullPageTiles& page, float* scratch, std::byte* summary) {
  const int tokens = page.page_tokens, head_dim = page.head_dim;
  if (page.type == DType::kInt4) {
    std::memcpy(summary, page.k_tile, CodesBytes(tokens, head_dim));
    return;
  }
  float *const k = scratch, *const v = k + head_dim;
  auto* const values = reinterpret_cast<std::byte*>(v + head_dim);  // a tile that nobody reads
  for (int slot = 0; slot < tokens; ++slot) {
    kernels.load_kv(page.type, tokens, head_dim, slot, page.k_tile, page.v_tile, k, v);
    kernels.store_kv(DType::kInt4, tokens, head_dim, slot, k, v, summary, values);
  }
}

}  // namespace

int64_t ExtremesBytes(int head_dim) { return 2 * static_cast<int64_t>(sizeof(uint16_t)) * head_dim; }

size_t PageSummaryBytes(SummaryKind kind, int page_tokens, int head_dim) {
  static_assert(kPageLane % kExtremesTokens == 0);
  constexpr size_t kLine = 64;
  size_t bytes = 0;
  if (kind == SummaryKind::kExtremes) {
    bytes = static_cast<size_t>(page_tokens / kExtremesTokens * ExtremesBytes(head_dim));
  } else if (kind == SummaryKind::kCodes) {
    bytes = CodesBytes(page_tokens, head_dim);
  }
  return (bytes + kLine - 1) / kLine * kLine;
}

int64_t SummaryScratchFloats(int page_tokens, int head_dim) {
  const auto tile = static_cast<int64_t>(CodesBytes(page_tokens, head_dim) / sizeof(float)) + 1;
  return 2 * int64_t{head_dim} + std::max(tile, 2 * int64_t{head_dim});
}

void SummarizeKeys(const KernelTable& kernels, SummaryKind kind, const FullPageTiles& page, float* scratch,
                   std::byte* summary) {
  std::memset(summary, 0, PageSummaryBytes(kind, page.page_tokens, page.head_dim));  // what pads it, too
  switch (kind) {
    case SummaryKind::kExtremes:
      return WriteExtremes(kernels, page, scratch, summary);
    case SummaryKind::kCodes:
      return WriteCodes(kernels, page, scratch, summary);
    case SummaryKind::kNone:
      QUIRE_CHECK(false);
  }
}

}  // namespace quire

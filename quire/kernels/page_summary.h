// What is kept of a full page's keys to tell which pages a query should read, in far fewer bytes than these.
//
// Extremes: of every kExtremesTokens keys, for each dimension the largest and the smallest, as bfloats,
// [page_tokens / kExtremesTokens][2][head_dim], the largest first. Both are rounded outwards, so that what is
// computed from them bounds every key's score (Quest, Tang et al. 2024, section 3.3, which summarizes pages
// as a whole).
//
// Codes: the keys in 4 bits, as the K tile of an int4 page (kv_codec.h). What is computed from them estimates
// every key's score.
#ifndef QUIRE_KERNELS_PAGE_SUMMARY_H_
#define QUIRE_KERNELS_PAGE_SUMMARY_H_

#include <cstddef>
#include <cstdint>

#include "quire/kernels/kernels.h"

namespace quire {

enum class SummaryKind { kNone, kExtremes, kCodes };

// Keys are rotated by their positions, fast in half of the dimensions: the largest and smallest of 16 say
// little. Of so few they take a quarter of what the keys and values take in 16 bits.
inline constexpr int kExtremesTokens = 4;
// From the extremes of some tokens to those of the next.
int64_t ExtremesBytes(int head_dim);

// Of one KV head; a multiple of 64, and 0 of no kind.
size_t PageSummaryBytes(SummaryKind kind, int page_tokens, int head_dim);

// A full page's keys and values of one KV head.
struct FullPageTiles {
  DType type;
  int page_tokens, head_dim;
  const std::byte *k_tile, *v_tile;
};

// Floats that SummarizeKeys needs.
int64_t SummaryScratchFloats(int page_tokens, int head_dim);
// REQUIRES: a kind.
void SummarizeKeys(const KernelTable& kernels, SummaryKind kind, const FullPageTiles& page, float* scratch,
                   std::byte* summary);

}  // namespace quire

#endif  // QUIRE_KERNELS_PAGE_SUMMARY_H_

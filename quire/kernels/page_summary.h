// What is known of a full page's keys without reading them: of every kSummaryTokens keys, for each dimension
// the largest and the smallest, as bfloats, [page_tokens / kSummaryTokens][2][head_dim], the largest first.
// Both are rounded outwards, so that what is computed from them bounds every key's score (Quest, Tang et al.
// 2024, section 3.3, which summarizes pages as a whole).
#ifndef QUIRE_KERNELS_PAGE_SUMMARY_H_
#define QUIRE_KERNELS_PAGE_SUMMARY_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "quire/kernels/kernels.h"

namespace quire {

// Keys are rotated by their positions, fast in half of the dimensions: the largest and smallest of 16 say
// little. Of so few they take a quarter of what the keys and values take in 16 bits.
inline constexpr int kSummaryTokens = 4;

// From one part of a page's summary to the next, and of all of them, a multiple of 64.
int64_t SummaryPartBytes(int head_dim);
size_t PageSummaryBytes(int page_tokens, int head_dim);

// Floats that SummarizeKeys needs.
int64_t SummaryScratchFloats(int head_dim);

// Of one KV head, whose page holds `page_tokens` tokens.
void SummarizeKeys(const KernelTable& kernels, DType type, int page_tokens, int head_dim,
                   const std::byte* k_tile, const std::byte* v_tile, float* scratch, std::byte* summary);

}  // namespace quire

#endif  // QUIRE_KERNELS_PAGE_SUMMARY_H_

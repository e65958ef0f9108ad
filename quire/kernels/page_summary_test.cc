// Bounds are bounds: no key of a page scores higher with a query, over what the page holds of it. And
// estimates are what the codes say.
#include "quire/kernels/page_summary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "quire/kernels/kv_codec.h"
#include "quire/kernels/test_pages.h"

namespace quire {
namespace {

constexpr int kQueries = 3;

std::vector<std::byte> SummaryOf(const KernelTable& kernels, SummaryKind kind, const TestPages& pages,
                                 int64_t page) {
  const AttentionPages& view = pages.view;
  std::vector<std::byte> summary(PageSummaryBytes(kind, view.page_tokens, view.head_dim));
  std::vector<float> scratch(SummaryScratchFloats(view.page_tokens, view.head_dim));
  const FullPageTiles tiles{view.type, view.page_tokens, view.head_dim, view.k_tile(page), view.v_tile(page)};
  SummarizeKeys(kernels, kind, tiles, scratch.data(), summary.data());
  return summary;
}

class PageSummary : public testing::TestWithParam<const KernelTable*> {};

TEST_P(PageSummary, BoundsEveryScoreOfThePage) {
  const KernelTable& kernels = *GetParam();
  for (const auto& [name, type] : KvTypes()) {
    for (const int head_dim : {16, 40, 64, 128}) {
      for (const int page_tokens : {16, 48}) {
        constexpr int64_t kPages = 5;
        const TestPages pages(kernels, type, page_tokens, head_dim, kPages * page_tokens);
        const std::vector<float> queries = RandomFloats(kQueries * head_dim, 7);
        std::vector<std::vector<std::byte>> summaries;
        std::vector<const std::byte*> places;
        for (int64_t page = 0; page < kPages; ++page)
          summaries.push_back(SummaryOf(kernels, SummaryKind::kExtremes, pages, page));
        const int64_t parts = page_tokens / kExtremesTokens;
        for (const auto& summary : summaries) {
          for (int64_t i = 0; i < parts; ++i) {
            places.push_back(summary.data() + i * ExtremesBytes(head_dim));
          }
        }
        std::vector<float> bounds(kQueries * kPages * parts);
        kernels.bound_scores(places, head_dim, queries.data(), kQueries, bounds.data());
        for (int64_t q = 0; q < kQueries; ++q) {
          for (int64_t t = 0; t < kPages * page_tokens; ++t) {
            double score = 0, size = 0;
            for (int64_t d = 0; d < head_dim; ++d) {
              const double term = double{queries[q * head_dim + d]} * pages.k[t * head_dim + d];
              score += term;
              size += std::abs(term);
            }
            ASSERT_GE(bounds[q * kPages * parts + t / kExtremesTokens], score - 1e-5 * size)
                << name << " " << head_dim;
          }
        }
      }
    }
  }
}

// In one dimension at a time the bound is the key's own score, but for the rounding to bfloats.
TEST_P(PageSummary, IsTightInEveryDimension) {
  const KernelTable& kernels = *GetParam();
  constexpr int kHeadDim = 40, kPageTokens = 16;
  const TestPages pages(kernels, DType::kF32, kPageTokens, kHeadDim, kPageTokens);
  const std::vector<std::byte> summary = SummaryOf(kernels, SummaryKind::kExtremes, pages, 0);
  const std::byte* const place = summary.data();
  for (int d = 0; d < kHeadDim; ++d) {
    for (const float sign : {1.0f, -1.0f}) {
      std::vector<float> query(kHeadDim, 0.0f);
      query[d] = sign;
      float best = -INFINITY, bound = 0;
      for (int t = 0; t < kExtremesTokens; ++t) best = std::max(best, sign * pages.k[t * kHeadDim + d]);
      kernels.bound_scores({&place, 1}, kHeadDim, query.data(), 1, &bound);
      EXPECT_GE(bound, best);
      EXPECT_LE(bound, best + std::abs(best) / 127) << d;
    }
  }
}

// Numbers that bfloats hold are not rounded at all, whatever their sign.
TEST(PageSummaries, KeepWhatBFloatsHold) {
  const KernelTable& kernels = BestKernels();
  std::vector<float> keys(16 * 16);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<float>(static_cast<int>(i % 256) - 128) / 4;
  const TestPages pages(kernels, DType::kF32, 16, 16, keys, keys);
  const std::vector<std::byte> summary = SummaryOf(kernels, SummaryKind::kExtremes, pages, 0);
  const auto* const bits = reinterpret_cast<const uint16_t*>(summary.data());
  for (int d = 0; d < 16; ++d) {
    EXPECT_EQ(std::bit_cast<float>(uint32_t{bits[d]} << 16), keys[3 * 16 + d]);
    EXPECT_EQ(std::bit_cast<float>(uint32_t{bits[16 + d]} << 16), keys[d]);
  }
}

// The keys as attention over pages of the same codes takes them.
TEST_P(PageSummary, EstimatesTheBestScoreOfThePage) {
  const KernelTable& kernels = *GetParam();
  for (const auto& [name, type] : KvTypes()) {
    for (const int head_dim : {16, 40, 64, 128}) {
      for (const int page_tokens : {16, 48, 1024}) {
        constexpr int64_t kPages = 3, kManyQueries = 11;
        const TestPages pages(kernels, type, page_tokens, head_dim, kPages * page_tokens);
        const TestPages coded(kernels, DType::kInt4, page_tokens, head_dim, pages.k, pages.v);
        const std::vector<float> queries = RandomFloats(kManyQueries * head_dim, 7);
        std::vector<std::vector<std::byte>> summaries;
        std::vector<const std::byte*> places;
        for (int64_t page = 0; page < kPages; ++page) {
          summaries.push_back(SummaryOf(kernels, SummaryKind::kCodes, pages, page));
          places.push_back(summaries.back().data());
        }
        std::vector<float> best(kManyQueries * kPages);
        std::vector<float> scratch(AttentionScratchFloats(kManyQueries, head_dim));
        kernels.score_keys(places, page_tokens, head_dim, queries.data(), kManyQueries, scratch.data(),
                           best.data());
        for (int64_t q = 0; q < kManyQueries; ++q) {
          for (int64_t page = 0; page < kPages; ++page) {
            double expected = -INFINITY, size = 0;
            for (int64_t t = page * page_tokens; t < (page + 1) * page_tokens; ++t) {
              double score = 0, magnitude = 0;
              for (int64_t d = 0; d < head_dim; ++d) {
                const double term = double{queries[q * head_dim + d]} * coded.k[t * head_dim + d];
                score += term;
                magnitude += std::abs(term);
              }
              expected = std::max(expected, score);
              size = std::max(size, magnitude);
            }
            ASSERT_NEAR(best[q * kPages + page], expected, 1e-3 * size) << name << " " << head_dim;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, PageSummary, testing::ValuesIn(SupportedKernels()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace quire

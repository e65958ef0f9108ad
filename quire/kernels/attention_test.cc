// Tolerances: outputs and lse may differ from double precision by 2e-5 (of values of about 1), over the keys
// and values as the page holds them; by 2e-4 with pages of whole numbers, and where bfloats are multiplied by
// 0.02. Between calls of one table with other rows nothing may differ.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <tuple>

#include "quire/kernels/test_pages.h"

namespace quire {
namespace {

class Attention : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& kernels() const { return *GetParam(); }
};

void ExpectAttention(Precision precision, const TestPages& pages, const AttentionParams& params,
                     const TestRows& rows) {
  const int64_t head_dim = rows.head_dim;
  const DType type = pages.view.type;
  const bool whole = type == DType::kInt8 || type == DType::kInt4;
  const double tolerance = whole ? 2e-4 : precision == Precision::kFloat ? 2e-5 : 0.02;
  for (size_t r = 0; r < rows.rows.size(); ++r) {
    const AttentionRow& row = rows.rows[r];
    std::vector<double> out(head_dim);
    double total = 0;
    for (int64_t t = row.begin; t < row.end; ++t) {
      double score = 0;
      for (int64_t d = 0; d < head_dim; ++d)
        score += static_cast<double>(row.q[d]) * pages.k[t * head_dim + d];
      score *= params.scale;
      if (params.softcap != 0) score = params.softcap * std::tanh(score / params.softcap);
      const double weight = std::exp(score);
      total += weight;
      for (int64_t d = 0; d < head_dim; ++d) out[d] += weight * pages.v[t * head_dim + d];
    }
    if (row.begin >= row.end) {
      EXPECT_EQ(*row.lse, -INFINITY);
      total = 1;
    } else {
      EXPECT_NEAR(*row.lse, std::log(total), tolerance) << "row " << r;
    }
    for (int64_t d = 0; d < head_dim; ++d)
      ASSERT_NEAR(row.out[d], out[d] / total, tolerance) << "row " << r << " dim " << d;
  }
}

// The ranges of a causal prefill of `tokens` tokens with `heads` query heads each, from position `first` on.
std::vector<std::pair<int64_t, int64_t>> Causal(int64_t first, int64_t tokens, int heads, int64_t window) {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t end = first + t + 1;
    for (int h = 0; h < heads; ++h) ranges.emplace_back(std::max<int64_t>(0, end - window), end);
  }
  return ranges;
}

TEST_P(Attention, EqualsDoublePrecision) {
  for (Precision precision : kBothPrecisions) {
    for (const auto& [name, type] : KvTypes()) {
      for (int head_dim : {8, 64, 72, 80, 96, 128, 256}) {
        for (int page_tokens : {16, 48}) {
          SCOPED_TRACE(std::string(name) + " " + std::to_string(head_dim));
          const TestPages pages(kernels(), type, page_tokens, head_dim, 131);
          const AttentionParams params{1.0f / std::sqrt(static_cast<float>(head_dim)), 0};
          TestRows rows(head_dim, Causal(120, 11, 3, 40));
          Attend(kernels(), precision, pages, params, rows.rows);
          ExpectAttention(precision, pages, params, rows);
        }
      }
    }
  }
}

TEST_P(Attention, SoftcapAndRangesWithNothingInCommon) {
  for (Precision precision : kBothPrecisions) {
    const TestPages pages(kernels(), DType::kF16, 32, 64, 300);
    const AttentionParams params{0.5f, 5.0f};
    TestRows rows(64,
                  {{0, 1}, {0, 0}, {17, 18}, {299, 300}, {3, 300}, {250, 20}, {0, 16}, {16, 32}, {100, 250}});
    Attend(kernels(), precision, pages, params, rows.rows);
    ExpectAttention(precision, pages, params, rows);
  }
}

TEST_P(Attention, ARowIsBitwiseTheSameWhateverOtherRowsAreThere) {
  for (Precision precision : kBothPrecisions) {
    for (const auto& [name, type] : KvTypes()) {
      const TestPages pages(kernels(), type, 16, 80, 200);
      const AttentionParams params{0.1f, 0};
      TestRows together(80, Causal(180, 20, 2, 60)), apart = TestRows(80, Causal(180, 20, 2, 60));
      Attend(kernels(), precision, pages, params, together.rows);
      size_t n = 1;
      for (size_t r = 0; r < apart.rows.size(); r += n, n = n % 9 + 1) {
        n = std::min(n, apart.rows.size() - r);
        Attend(kernels(), precision, pages, params, std::span(apart.rows).subspan(r, n));
      }
      EXPECT_EQ(std::memcmp(together.out.data(), apart.out.data(), together.out.size() * sizeof(float)), 0);
      EXPECT_EQ(together.lse, apart.lse);
    }
  }
}

// Row counts at which kernels change how they go about it, in ranges that begin and end inside of their
// pieces.
TEST_P(Attention, EveryNumberOfRowsGivesTheSame) {
  for (Precision precision : kBothPrecisions) {
    for (const auto& [type, page_tokens, head_dim] : {std::tuple{DType::kF16, 16, 64},
                                                      {DType::kBF16, 32, 80},
                                                      {DType::kInt4, 48, 128},
                                                      {DType::kF32, 16, 256}}) {
      const TestPages pages(kernels(), type, page_tokens, head_dim, 512);
      const AttentionParams params{0.1f, 0};
      std::vector<std::pair<int64_t, int64_t>> ranges;
      for (const auto& range : Causal(200, 48, 1, 190)) ranges.push_back(range);
      for (const auto& range : Causal(464, 48, 2, 1000)) ranges.push_back(range);
      TestRows apart(head_dim, ranges);
      for (const AttentionRow& row : apart.rows) Attend(kernels(), precision, pages, params, {&row, 1});
      for (const size_t n : {2, 8, 15, 16, 17, 31, 32, 33, 40, 48, 49, 64, 65, 144}) {
        TestRows together(head_dim, ranges);
        for (size_t r = 0; r < ranges.size(); r += n) {
          Attend(kernels(), precision, pages, params,
                 std::span(together.rows).subspan(r, std::min(n, ranges.size() - r)));
        }
        EXPECT_EQ(together.out, apart.out) << n;
        EXPECT_EQ(together.lse, apart.lse) << n;
      }
    }
  }
}

TEST_P(Attention, PagesBelowTheWindowAreNotRead) {
  for (Precision precision : kBothPrecisions) {
    TestPages pages(kernels(), DType::kF32, 16, 64, 100);
    for (int page = 0; page < 4; ++page) pages.k_tiles[page] = pages.v_tiles[page] = nullptr;
    const AttentionParams params{0.125f, 0};
    TestRows rows(64, {{64, 100}, {70, 99}});
    Attend(kernels(), precision, pages, params, rows.rows);
    ExpectAttention(precision, pages, params, rows);
  }
}

// Splits of kAttentionSplit positions, merged, are the attention over the whole.
TEST_P(Attention, PartialsMerge) {
  for (Precision precision : kBothPrecisions) {
    constexpr int kHeadDim = 96;
    constexpr int64_t kTokens = 2 * kAttentionSplit + 100;
    const TestPages pages(kernels(), DType::kF32, 64, kHeadDim, kTokens);
    const AttentionParams params{0.2f, 0};
    TestRows parts(kHeadDim, {{5, kAttentionSplit},
                              {kAttentionSplit, 2 * kAttentionSplit},
                              {2 * kAttentionSplit, kTokens},
                              {7, 7}});
    for (size_t r = 0; r < parts.rows.size(); ++r) {
      parts.rows[r].q = parts.q.data();
      Attend(kernels(), precision, pages, params, std::span(parts.rows).subspan(r, 1));
    }
    TestRows whole(kHeadDim, {{5, kTokens}});
    std::ranges::fill(whole.out, 0.0f);
    whole.lse[0] = -INFINITY;
    const auto merge = [&](size_t r) {
      kernels().merge_partial(&parts.out[r * kHeadDim], parts.lse[r], kHeadDim, whole.out.data(),
                              whole.lse.data());
    };
    merge(3);  // nothing to nothing
    EXPECT_EQ(whole.lse[0], -INFINITY);
    EXPECT_EQ(whole.out, std::vector<float>(kHeadDim, 0.0f));
    for (size_t r = 0; r < 4; ++r) merge(r);
    ExpectAttention(precision, pages, params, whole);
  }
}

// What a later token of the same chunk holds is nobody's business before it.
TEST_P(Attention, InfinityInALaterValueReachesNoEarlierRow) {
  for (Precision precision : kBothPrecisions) {
    TestPages pages(kernels(), DType::kF16, 16, 64, 40);
    pages.v[33 * 64] = pages.k[33 * 64] = INFINITY;
    pages.Write(kernels(), 33);
    TestRows rows(64, Causal(30, 10, 2, 100));
    Attend(kernels(), precision, pages, {0.125f, 0}, rows.rows);
    for (size_t i = 0; i < 6 * 64; ++i) ASSERT_TRUE(std::isfinite(rows.out[i])) << i;
  }
}

TEST_P(Attention, StoreKvRoundsToNearestEven) {
  constexpr int kHeadDim = 8;
  const std::vector<float> values = {1.0f,       65519.0f,       65520.0f, 1e-8f,
                                     0x1.8p-24f, 1.00048828125f, -0.0f,    3.0e-5f};
  const std::vector<uint16_t> expected = {0x3c00, 0x7bff, 0x7c00, 0x0000, 0x0002, 0x3c00, 0x8000, 0x01f7};
  std::vector<uint16_t> k(16 * kHeadDim), v(16 * kHeadDim);
  kernels().store_kv(DType::kF16, 16, kHeadDim, 3, values.data(), values.data(),
                     reinterpret_cast<std::byte*>(k.data()), reinterpret_cast<std::byte*>(v.data()));
  for (int d = 0; d < kHeadDim; ++d) {
    EXPECT_EQ(k[d * 16 + 3], expected[d]) << d;
    EXPECT_EQ(v[3 * kHeadDim + d], expected[d]) << d;
  }
  const std::vector<float> bfloats = {1.0f,     0x1.01p0f, 0x1.03p0f,       NAN,
                                      INFINITY, -2.0f,     0x1.fffffep127f, 0.0f};
  const std::vector<uint16_t> expected_bfloats = {0x3f80, 0x3f80, 0x3f82, 0x7fc0, 0x7f80, 0xc000, 0x7f80, 0};
  kernels().store_kv(DType::kBF16, 16, kHeadDim, 0, bfloats.data(), bfloats.data(),
                     reinterpret_cast<std::byte*>(k.data()), reinterpret_cast<std::byte*>(v.data()));
  for (int d = 0; d < kHeadDim; ++d) EXPECT_EQ(v[d], expected_bfloats[d]) << d;
}

std::string NameOf(const testing::TestParamInfo<const KernelTable*>& info) {
  return std::string(info.param->name);
}
INSTANTIATE_TEST_SUITE_P(Isa, Attention, testing::ValuesIn(SupportedKernels()), NameOf);

}  // namespace
}  // namespace quire

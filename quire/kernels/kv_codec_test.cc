// Tolerances of a codec, for keys, values and queries of standard normal distribution: kCodecs says how far a
// value and the result of attention may be from what they are with floats.
#include "quire/kernels/kv_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "quire/kernels/test_pages.h"

namespace quire {
namespace {

struct Codec {
  DType type;
  double value_rms;   // of a value's error, in units of the values' deviation
  double output_max;  // of an output's error, over 300 tokens, where outputs are about 0.1
};

constexpr Codec kCodecs[] = {
    {DType::kInt8, 0.008, 0.01}, {DType::kFp8, 0.035, 0.03}, {DType::kInt4, 0.13, 0.12}};

class KvCodec : public testing::TestWithParam<std::tuple<const KernelTable*, Codec>> {
 protected:
  const KernelTable& kernels() const { return *std::get<0>(GetParam()); }
  const Codec& codec() const { return std::get<1>(GetParam()); }
  DType type() const { return codec().type; }

  // What a page of one head gives back.
  std::vector<float> RoundTrip(const std::vector<float>& x) const {
    const TestPages pages(kernels(), type(), 16, static_cast<int>(x.size()), x, x);
    EXPECT_TRUE(std::ranges::equal(
        pages.k, pages.v, [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }));
    return pages.k;
  }
};

double Rms(const std::vector<float>& x) {
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0) / static_cast<double>(x.size()));
}

std::vector<float> Minus(std::vector<float> a, const std::vector<float>& b) {
  std::ranges::transform(a, b, a.begin(), std::minus());
  return a;
}

TEST(KvTypes, AreFoundByName) {
  EXPECT_EQ(KvTypeNames(), (std::vector<std::string>{"f32", "f16", "bf16", "fp8", "int8", "int4"}));
  for (const auto& [name, type] : KvTypes()) EXPECT_EQ(FindKvType(name), type);
  EXPECT_EQ(FindKvType("q8_0"), std::nullopt);
  EXPECT_FALSE(IsKvType(DType::kQ8_0));
}

TEST(KvTypes, TileBytesCountCodesAndScales) {
  EXPECT_EQ(KvTileBytes(DType::kF16, 16, 64), 16u * 128);
  EXPECT_EQ(KvTileBytes(DType::kInt8, 16, 64), 16u * (64 + 2));
  EXPECT_EQ(KvTileBytes(DType::kInt8, 32, 128), 32u * (128 + 2 * 2));
  EXPECT_EQ(KvTileBytes(DType::kFp8, 32, 128), 32u * (128 + 2));
  EXPECT_EQ(KvTileBytes(DType::kInt4, 16, 64), 16u * (32 + 2 * 2));
  EXPECT_EQ(KvTileBytes(DType::kInt4, 16, 80), 16u * (48 + 3 * 2));
}

TEST_P(KvCodec, BytesAreThoseOfTheGenericKernels) {
  for (const int head_dim : {8, 64, 72, 80, 96, 128, 256}) {
    const TestPages pages(kernels(), type(), 32, head_dim, 50);
    const TestPages expected(*SupportedKernels().front(), type(), 32, head_dim, 50);
    EXPECT_EQ(pages.tiles, expected.tiles) << head_dim;
    EXPECT_EQ(pages.k, expected.k) << head_dim;
    EXPECT_EQ(pages.v, expected.v) << head_dim;
  }
}

TEST_P(KvCodec, ATokensBytesAreItsOwn) {
  constexpr int kHeadDim = 64, kTokens = 32;
  const TestPages forward(kernels(), type(), kTokens, kHeadDim, kTokens);
  TestPages backward(kernels(), type(), kTokens, kHeadDim, kTokens);
  // Every slot gets something else first, and its own from the last to the first.
  const std::vector<float> k = RandomFloats(kTokens * kHeadDim, 1), v = RandomFloats(kTokens * kHeadDim, 2);
  backward.k = RandomFloats(kTokens * kHeadDim, 7, 100);
  backward.v = RandomFloats(kTokens * kHeadDim, 8, 100);
  for (int t = 0; t < kTokens; ++t) backward.Write(kernels(), t);
  backward.k = k, backward.v = v;
  for (int t = kTokens - 1; t >= 0; --t) backward.Write(kernels(), t);
  EXPECT_EQ(backward.tiles, forward.tiles);
}

TEST_P(KvCodec, ValuesAreClose) {
  for (const int head_dim : {64, 96, 128, 256}) {
    const std::vector<float> x = RandomFloats(head_dim, 5);
    EXPECT_LT(Rms(Minus(RoundTrip(x), x)), codec().value_rms) << head_dim;
  }
}

TEST_P(KvCodec, ErrorsGrowWithTheValues) {
  const std::vector<float> x = RandomFloats(64, 5);
  const double error = Rms(Minus(RoundTrip(x), x));
  for (const int power : {-60, -20, 20, 60}) {
    std::vector<float> scaled = x;
    for (float& value : scaled) value = std::ldexp(value, power);
    EXPECT_NEAR(std::ldexp(Rms(Minus(RoundTrip(scaled), scaled)), -power), error, 1e-6) << power;
  }
}

TEST_P(KvCodec, ZerosStayZeros) {
  EXPECT_EQ(RoundTrip(std::vector<float>(64, 0.0f)), std::vector<float>(64, 0.0f));
}

TEST_P(KvCodec, WhatIsNoNumberSpoilsItsOwnTokenOnly) {
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    TestPages pages(kernels(), type(), 16, 64, 40);
    pages.k[33 * 64] = pages.v[33 * 64] = bad;
    pages.Write(kernels(), 33);
    EXPECT_FALSE(std::isfinite(pages.k[33 * 64])) << bad;
    for (const Precision precision : kBothPrecisions) {
      TestRows rows(64, {{0, 33}, {34, 40}, {20, 33}, {36, 37}});
      Attend(kernels(), precision, pages, {0.125f, 0}, rows.rows);
      for (const float out : rows.out) ASSERT_TRUE(std::isfinite(out)) << bad;
    }
  }
}

// But for the roundings of rotating back, and with whole numbers those of queries and weights.
TEST_P(KvCodec, AttentionIsThatOverTheValuesOfThePage) {
  for (const int head_dim : {64, 72, 128}) {
    const TestPages coded(kernels(), type(), 32, head_dim, 300);
    const TestPages floats(kernels(), DType::kF32, 32, head_dim, coded.k, coded.v);
    const std::vector<std::pair<int64_t, int64_t>> ranges = {{0, 300}, {0, 1},     {17, 250}, {40, 41},
                                                             {3, 299}, {100, 200}, {5, 5},    {288, 300}};
    TestRows rows(head_dim, ranges), expected(head_dim, ranges);
    const AttentionParams params{1.0f / std::sqrt(static_cast<float>(head_dim)), 0};
    Attend(kernels(), Precision::kFloat, coded, params, rows.rows);
    Attend(kernels(), Precision::kFloat, floats, params, expected.rows);
    EXPECT_THAT(rows.out,
                testing::Pointwise(testing::FloatNear(type() == DType::kFp8 ? 1e-5f : 1e-4f), expected.out))
        << head_dim;
    EXPECT_THAT(rows.lse,
                testing::Pointwise(testing::FloatNear(type() == DType::kFp8 ? 1e-5f : 1e-4f), expected.lse))
        << head_dim;
  }
}

TEST_P(KvCodec, AttentionIsCloseToThatOverFloats) {
  for (const Precision precision : kBothPrecisions) {
    for (const int head_dim : {64, 128, 256}) {
      const TestPages coded(kernels(), type(), 16, head_dim, 300);
      const TestPages floats(kernels(), DType::kF32, 16, head_dim, 300);
      const std::vector<std::pair<int64_t, int64_t>> ranges(20, {0, 300});
      TestRows rows(head_dim, ranges), expected(head_dim, ranges);
      const AttentionParams params{1.0f / std::sqrt(static_cast<float>(head_dim)), 0};
      Attend(kernels(), precision, coded, params, rows.rows);
      Attend(kernels(), Precision::kFloat, floats, params, expected.rows);
      for (size_t i = 0; i < rows.out.size(); ++i) {
        ASSERT_NEAR(rows.out[i], expected.out[i], codec().output_max) << head_dim << " at " << i;
      }
    }
  }
}

// Few dimensions far larger than the others, as keys have: a rotation keeps them from taking all the levels.
TEST_P(KvCodec, LargeDimensionsLeaveSomethingToTheOthers) {
  std::vector<float> x = RandomFloats(64, 5);
  x[3] = 25, x[40] = -30;
  const std::vector<float> error = Minus(RoundTrip(x), x);
  // Without a rotation the step of int4 is about 4, which rounds most of the others to zero: an rms of 1.
  EXPECT_LT(Rms(error), 0.75);
}

std::string NameOf(const testing::TestParamInfo<KvCodec::ParamType>& info) {
  const auto& [kernels, codec] = info.param;
  return std::string(kernels->name) + "_" + std::string(Info(codec.type).name);
}
INSTANTIATE_TEST_SUITE_P(All, KvCodec,
                         testing::Combine(testing::ValuesIn(SupportedKernels()), testing::ValuesIn(kCodecs)),
                         NameOf);

}  // namespace
}  // namespace quire

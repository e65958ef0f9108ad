#include "quire/tiers/page_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"

namespace quire {
namespace {

PageShape Shape(DType type) { return {.type = type, .page_tokens = 32, .head_dim = 64, .heads = 6}; }

// Keys and values as models have them: about normal, of a size that depends on the head.
std::vector<std::byte> Page(const PageShape& shape, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<std::byte> page(shape.bytes());
  const size_t tile = page.size() / (2 * shape.heads);
  std::vector<float> k(shape.head_dim), v(shape.head_dim);
  for (int64_t head = 0; head < shape.heads; ++head) {
    for (int slot = 0; slot < shape.page_tokens; ++slot) {
      for (float& x : k) x = normal(random) * static_cast<float>(1 + head);
      for (float& x : v) x = normal(random) / 3;
      std::byte* const at = page.data() + 2 * tile * head;
      BestKernels().store_kv(shape.type, shape.page_tokens, shape.head_dim, slot, k.data(), v.data(), at,
                             at + tile);
    }
  }
  return page;
}

std::vector<float> Numbers(const PageShape& shape, const std::vector<std::byte>& page) {
  std::vector<float> numbers;
  const size_t tile = page.size() / (2 * shape.heads);
  std::vector<float> k(shape.head_dim), v(shape.head_dim);
  for (int64_t head = 0; head < shape.heads; ++head) {
    for (int slot = 0; slot < shape.page_tokens; ++slot) {
      const std::byte* const at = page.data() + 2 * tile * head;
      BestKernels().load_kv(shape.type, shape.page_tokens, shape.head_dim, slot, at, at + tile, k.data(),
                            v.data());
      numbers.insert(numbers.end(), k.begin(), k.end());
      numbers.insert(numbers.end(), v.begin(), v.end());
    }
  }
  return numbers;
}

class PageCodecContract : public testing::TestWithParam<const PageCodecRow*> {};

// The first page of several types, padded: the parts come back as they would alone, and the rest is left
// alone.
TEST_P(PageCodecContract, APageOfSeveralTypesComesBackPartByPart) {
  const PageShape parts[] = {Shape(DType::kF16), Shape(DType::kInt4), Shape(DType::kF32)};
  std::vector<std::byte> page, expected;
  for (const PageShape& part : parts) {
    const std::vector<std::byte> bytes = Page(part, static_cast<int>(page.size()));
    page.insert(page.end(), bytes.begin(), bytes.end());
    const auto alone = GetParam()->make(part);
    std::vector<std::byte> back(bytes.size());
    ASSERT_TRUE(alone->Decode(alone->Encode(bytes), back));
    expected.insert(expected.end(), back.begin(), back.end());
  }
  page.resize(page.size() + 160, std::byte{7});
  expected.resize(page.size(), std::byte{9});
  const auto codec = MakePageCodec(*GetParam(), parts, page.size());
  const std::vector<std::byte> coded = codec->Encode(page);
  std::vector<std::byte> back(page.size(), std::byte{9});
  ASSERT_TRUE(codec->Decode(coded, back));
  EXPECT_EQ(back, expected);
  for (size_t length = 0; length < coded.size(); length += coded.size() / 7) {
    EXPECT_FALSE(codec->Decode(std::span(coded).first(length), back)) << length;
  }
}

TEST_P(PageCodecContract, APageOfEveryTypeComesBack) {
  for (const KvTypeRow& type : KvTypes()) {
    SCOPED_TRACE(type.name);
    const PageShape shape = Shape(type.type);
    const auto codec = GetParam()->make(shape);
    const std::vector<std::byte> page = Page(shape, 1);
    const std::vector<std::byte> coded = codec->Encode(page);
    EXPECT_LE(coded.size(), page.size() + 64);
    std::vector<std::byte> back(page.size());
    ASSERT_TRUE(codec->Decode(coded, back));
    if (GetParam()->exact) {
      EXPECT_EQ(back, page);
      continue;
    }
    const std::vector<float> before = Numbers(shape, page), after = Numbers(shape, back);
    double error = 0, square = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      error += std::pow(after[i] - before[i], 2);
      square += std::pow(before[i], 2);
    }
    EXPECT_LT(error, 0.02 * square);
  }
}

TEST_P(PageCodecContract, WhatIsNoPageIsRefused) {
  const PageShape shape = Shape(DType::kF16);
  const auto codec = GetParam()->make(shape);
  const std::vector<std::byte> coded = codec->Encode(Page(shape, 1));
  std::vector<std::byte> back(shape.bytes());
  for (const size_t size : {size_t{0}, size_t{3}, size_t{4}, coded.size() / 2, coded.size() - 1}) {
    EXPECT_FALSE(codec->Decode(std::span(coded).first(size), back)) << size;
  }
  std::vector<std::byte> longer = coded;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(codec->Decode(longer, back));
}

TEST_P(PageCodecContract, NothingComesBackAsNothing) {
  const PageShape shape = Shape(DType::kBF16);
  const auto codec = GetParam()->make(shape);
  const std::vector<std::byte> page(shape.bytes());
  std::vector<std::byte> back(shape.bytes(), std::byte{1});
  ASSERT_TRUE(codec->Decode(codec->Encode(page), back));
  EXPECT_EQ(back, page);
}

INSTANTIATE_TEST_SUITE_P(Table, PageCodecContract, testing::ValuesIn(PageCodecTable()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST(LosslessPages, AnyBytesComeBack) {
  std::mt19937 random(3);
  for (const DType type : {DType::kF16, DType::kF32, DType::kInt8}) {
    const PageShape shape = Shape(type);
    const auto codec = PageCodecTable()[0]->make(shape);
    for (int i = 0; i < 20; ++i) {
      std::vector<std::byte> page(shape.bytes()), back(shape.bytes());
      const auto mask = static_cast<uint8_t>(random());
      for (std::byte& byte : page) byte = static_cast<std::byte>(random() & mask);
      ASSERT_TRUE(codec->Decode(codec->Encode(page), back));
      ASSERT_EQ(back, page);
    }
  }
}

TEST(LosslessPages, ExponentsTakeLessRoom) {
  for (const auto& [type, most] : {std::pair{DType::kF16, 0.90}, {DType::kBF16, 0.75}, {DType::kF32, 0.90}}) {
    const PageShape shape = Shape(type);
    const std::vector<std::byte> page = Page(shape, 1);
    EXPECT_LT(PageCodecTable()[0]->make(shape)->Encode(page).size(), most * page.size());
  }
}

TEST(CoarsePages, TakeTheBytesOfTheirType) {
  const PageShape shape = Shape(DType::kF16);
  PageShape int4 = shape;
  int4.type = DType::kInt4;
  EXPECT_EQ((*FindPageCodec("int4"))->make(shape)->Encode(Page(shape, 1)).size(), int4.bytes());
  // What has no more bits stays as it is.
  const std::vector<std::byte> page = Page(int4, 1);
  EXPECT_EQ((*FindPageCodec("int8"))->make(int4)->Encode(page), page);
}

// A page that comes up and goes down again does not fade.
TEST(CoarsePages, ASecondTimeChangesLittle) {
  const PageShape shape = Shape(DType::kF16);
  for (const char* name : {"fp8", "int8", "int4"}) {
    const auto codec = (*FindPageCodec(name))->make(shape);
    std::vector<std::byte> once(shape.bytes()), often(shape.bytes());
    ASSERT_TRUE(codec->Decode(codec->Encode(Page(shape, 1)), once));
    often = once;
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(codec->Decode(codec->Encode(often), often));
    const std::vector<float> before = Numbers(shape, once), after = Numbers(shape, often);
    double error = 0, square = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      error += std::pow(after[i] - before[i], 2);
      square += std::pow(before[i], 2);
    }
    EXPECT_LT(error, 0.002 * square) << name;
  }
}

TEST(PageCodecs, AMisspeltNameIsAnsweredWithTheKnownOnes) {
  const auto unknown = FindPageCodec("zip");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_THAT(unknown.error().message, testing::HasSubstr("lossless, fp8, int8, int4"));
}

}  // namespace
}  // namespace quire

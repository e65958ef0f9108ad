#include "quire/files/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "quire/files/gguf_bytes.h"

namespace quire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using G = GgufBytes;

std::span<const std::byte> AsBytes(const std::string& text) { return std::as_bytes(std::span(text)); }

Result<GgufFile> Parse(const std::string& bytes) { return GgufFile::Parse(AsBytes(bytes), "m.gguf"); }

// A bit of everything: every kind of value, three tensors.
GgufBytes SmallFile() {
  GgufBytes file;
  file.String("general.architecture", "llama")
      .U32("llama.block_count", 2)
      .F32("eps", 0.5f)
      .Bool("flag", true);
  file.Key("small", G::kI8, G::Number(int8_t{-3})).Key("big", G::kU64, G::Number(UINT64_MAX));
  file.Key("wide", G::kF64, G::Number(-2.0));
  file.Strings("tokens", {"a", "", "\xc3\xa9"});
  file.Array("heads", G::kI32, {G::Number(int32_t{4}), G::Number(int32_t{-1})});
  file.Array("swa", G::kBool, {G::Number(uint8_t{1}), G::Number(uint8_t{0})});
  file.Array("scores", G::kF32, {G::Number(0.5f), G::Number(2.0f)});
  file.Tensor("norm", {3}, 0, G::Number(1.0f) + G::Number(2.0f) + G::Number(3.0f));
  file.Tensor("half", {2, 5}, 1, std::string(20, 'h'));
  file.Tensor("w", {64, 2}, 2, std::string(2 * 2 * 18, 'q'));
  return file;
}

TEST(Gguf, ReadsEveryKindOfMetadata) {
  const std::string bytes = SmallFile().Bytes();
  const auto file = Parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version, 3u);
  const GgufMetadata& metadata = file->metadata;
  EXPECT_EQ(metadata.values().size(), 11u);
  EXPECT_EQ(metadata.String("general.architecture")->value(), "llama");
  EXPECT_EQ(metadata.Integer("llama.block_count")->value(), 2);
  EXPECT_EQ(metadata.Number("eps")->value(), 0.5);
  EXPECT_EQ(metadata.Bool("flag")->value(), true);
  EXPECT_EQ(metadata.Integer("small")->value(), -3);
  EXPECT_EQ(metadata.Number("small")->value(), -3.0);
  EXPECT_EQ(metadata.Integer("wide")->value(), -2);
  EXPECT_THAT(*metadata.Strings("tokens").value(), ElementsAre("a", "", "\xc3\xa9"));
  EXPECT_THAT(metadata.Integers("heads")->value(), ElementsAre(4, -1));
  EXPECT_THAT(metadata.Integers("swa")->value(), ElementsAre(1, 0));
  EXPECT_THAT(metadata.Integers("llama.block_count")->value(), ElementsAre(2));
  EXPECT_THAT(metadata.Numbers("scores")->value(), ElementsAre(0.5, 2.0));
}

TEST(Gguf, AbsentKeysAreNotErrors) {
  const GgufMetadata metadata;
  EXPECT_EQ(metadata.Find("x"), nullptr);
  EXPECT_EQ(*metadata.Integer("x"), std::nullopt);
  EXPECT_EQ(*metadata.Number("x"), std::nullopt);
  EXPECT_EQ(*metadata.Bool("x"), std::nullopt);
  EXPECT_EQ(*metadata.String("x"), std::nullopt);
  EXPECT_EQ(*metadata.Strings("x"), nullptr);
  EXPECT_EQ(*metadata.Integers("x"), std::nullopt);
  EXPECT_EQ(*metadata.Numbers("x"), std::nullopt);
}

TEST(Gguf, AKeyOfAnotherKindIsNamed) {
  const std::string bytes = SmallFile().Bytes();
  const auto file = Parse(bytes);
  const GgufMetadata& metadata = file->metadata;
  EXPECT_EQ(metadata.Integer("flag").error().message,
            "metadata key 'flag' is a bool, expected an integer that fits in 64 bits");
  EXPECT_THAT(metadata.Integer("big").error().message,
              HasSubstr("'big' is an integer, expected an integer that fits"));
  EXPECT_THAT(metadata.Integer("eps").error().message, HasSubstr("'eps' is a number"));
  EXPECT_THAT(metadata.Integer("heads").error().message, HasSubstr("'heads' is an array of integers"));
  EXPECT_THAT(metadata.Number("tokens").error().message, HasSubstr("expected a number"));
  EXPECT_THAT(metadata.Bool("small").error().message, HasSubstr("expected a bool"));
  EXPECT_THAT(metadata.String("small").error().message, HasSubstr("expected a string"));
  EXPECT_THAT(metadata.Strings("heads").error().message, HasSubstr("expected an array of strings"));
  EXPECT_THAT(metadata.Integers("scores").error().message, HasSubstr("is an array of numbers"));
  EXPECT_THAT(metadata.Numbers("tokens").error().message, HasSubstr("is an array of strings"));
}

TEST(Gguf, TensorsAreViewsOfTheFileOutermostDimensionFirst) {
  const std::string bytes = SmallFile().Bytes();
  const auto file = Parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->tensors.size(), 3u);
  const TensorView& weight = file->tensors.at("w");
  EXPECT_EQ(weight.type, DType::kQ4_0);
  EXPECT_EQ(weight.rank, 2);
  EXPECT_EQ(weight.rows(), 2);
  EXPECT_EQ(weight.cols(), 64);
  EXPECT_EQ(weight.data.size(), 72u);
  EXPECT_EQ(weight.data.front(), std::byte{'q'});
  EXPECT_EQ(weight.data.back(), std::byte{'q'});
  const TensorView& half = file->tensors.at("half");
  EXPECT_EQ(half.shape[0], 5);
  EXPECT_EQ(half.shape[1], 2);
  EXPECT_EQ(half.data.front(), std::byte{'h'});
  float first = 0;
  std::memcpy(&first, file->tensors.at("norm").data.data(), sizeof(first));
  EXPECT_EQ(first, 1.0f);
  EXPECT_EQ(std::as_bytes(std::span(bytes)).data() + bytes.size(), weight.data.data() + weight.data.size());
}

TEST(Gguf, HonoursAlignmentAndVersion2) {
  GgufBytes file;
  file.version = 2;
  file.alignment = 128;
  file.U32("general.alignment", 128);
  file.Tensor("a", {1}, 0, "aaaa").Tensor("b", {1}, 0, "bbbb");
  const std::string bytes = file.Bytes();
  const auto parsed = Parse(bytes);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->version, 2u);
  const auto& tensors = parsed->tensors;
  EXPECT_EQ(tensors.at("b").data.data() - tensors.at("a").data.data(), 128);
  EXPECT_EQ(tensors.at("b").data.front(), std::byte{'b'});
}

TEST(Gguf, AFileWithoutTensorsIsFine) {
  const std::string bytes = GgufBytes().String("general.architecture", "llama").Bytes();
  const auto parsed = Parse(bytes);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_TRUE(parsed->tensors.empty());
}

TEST(Gguf, ReadsTheRealModel) {
  const char* folder = std::getenv("QUIRE_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "set QUIRE_MODELS to the folder of the real models";
  const auto file = GgufFile::Open(std::string(folder) + "/SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!file && file.error().code == ErrorCode::kNotFound) GTEST_SKIP() << file.error().message;
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version, 3u);
  EXPECT_EQ(file->metadata.Integer("llama.block_count")->value(), 30);
  EXPECT_EQ(file->metadata.String("tokenizer.ggml.pre")->value(), "smollm");
  EXPECT_EQ(file->metadata.Number("llama.rope.freq_base")->value(), 100000.0);
  EXPECT_EQ(file->metadata.Strings("tokenizer.ggml.tokens").value()->size(), 49152u);
  std::map<DType, int> types;
  for (const auto& [name, view] : file->tensors) ++types[view.type];
  EXPECT_EQ(types, (std::map<DType, int>{{DType::kF32, 61}, {DType::kQ4_1, 210}, {DType::kQ8_0, 1}}));
  const TensorView& down = file->tensors.at("blk.0.ffn_down.weight");
  EXPECT_EQ(down.rows(), 576);
  EXPECT_EQ(down.cols(), 1536);
}

}  // namespace
}  // namespace quire

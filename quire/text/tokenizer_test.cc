// Token ids against the Hugging Face tokenizers package: goldens from tests/tokenizer_oracle.py.
#include "quire/text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "quire/text/tokenizer_spec.h"

namespace quire {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const fs::path kData = fs::path(QUIRE_SOURCE_DIR) / "quire/text/testdata/tokenizer";

json ReadJson(const fs::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

std::string Fingerprint(std::span<const Token> ids) {
  uint64_t value = 0xCBF29CE484222325;
  for (Token id : ids) value = (value ^ static_cast<uint64_t>(id)) * 0x100000001B3;
  return fmt::format("{:016x}", value);
}

// Every text has the golden ids; the readable ones are shown on a difference.
void ExpectGolden(const Tokenizer& tokenizer, const std::string& name) {
  const json golden = ReadJson(kData / (name + ".json"));
  for (const json& shown : golden["shown"]) {
    EXPECT_EQ(tokenizer.Encode(shown["text"].get<std::string>(), {.add_special = false}),
              shown["ids"].get<std::vector<Token>>())
        << shown["text"];
  }
  const json texts = ReadJson(kData / "texts.json");
  ASSERT_GE(texts.size(), 5000u);
  ASSERT_EQ(texts.size(), golden["fingerprints"].size());
  int different = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    const std::vector<Token> ids = tokenizer.Encode(text, {.add_special = false});
    const bool same = Fingerprint(ids) == golden["fingerprints"][i].get<std::string>();
    if (!same && ++different <= 5) ADD_FAILURE() << name << " text " << i << ": " << texts[i];
  }
  EXPECT_EQ(different, 0) << "of " << texts.size();
}

// A model of QUIRE_MODELS, or null where it is not there.
std::unique_ptr<Tokenizer> RealTokenizer(const std::string& part) {
  const char* folder = std::getenv("QUIRE_MODELS");
  if (folder == nullptr || !fs::exists(folder)) return nullptr;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().find(part) == std::string::npos) continue;
    if (entry.path().extension() != ".gguf") continue;
    const auto files = ModelFiles::Open(entry.path());
    EXPECT_TRUE(files) << files.error().message;
    auto tokenizer = Tokenizer::Load(**files);
    EXPECT_TRUE(tokenizer) << tokenizer.error().message;
    return std::move(*tokenizer);
  }
  return nullptr;
}

class RealModel : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(RealModel, IdsEqualTheOracle) {
  const auto tokenizer = RealTokenizer(GetParam().second);
  if (!tokenizer) GTEST_SKIP() << "QUIRE_MODELS has no " << GetParam().second;
  ExpectGolden(*tokenizer, GetParam().first);
}

TEST_P(RealModel, DecodingGivesTheTextBack) {
  const auto tokenizer = RealTokenizer(GetParam().second);
  if (!tokenizer) GTEST_SKIP() << "QUIRE_MODELS has no " << GetParam().second;
  for (const json& text : ReadJson(kData / "texts.json")) {
    const auto expected = text.get<std::string>();
    const std::vector<Token> ids = tokenizer->Encode(expected, {.add_special = false});
    ASSERT_EQ(tokenizer->Decode(ids, true), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RealModel,
                         testing::Values(std::pair("smollm2", "SmolLM2-135M"), std::pair("gemma3", "gemma")),
                         [](const auto& info) { return std::string(info.param.first); });

class TokenizerJson : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerJson, IdsEqualTheOracle) {
  // A folder model needs tensors to be opened; here only the tokenizer's file counts.
  const fs::path folder = fs::path(testing::TempDir()) / (std::string("quire_tokenizer_") + GetParam());
  fs::create_directories(folder);
  fs::copy_file(kData / GetParam() / "tokenizer.json", folder / "tokenizer.json",
                fs::copy_options::overwrite_existing);
  std::ofstream(folder / "config.json") << "{}";
  const std::string header = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  std::ofstream weights(folder / "model.safetensors", std::ios::binary);
  const uint64_t size = header.size();
  weights.write(reinterpret_cast<const char*>(&size), sizeof(size));
  weights << header << std::string(4, '\0');
  weights.close();

  const auto files = ModelFiles::Open(folder);
  ASSERT_TRUE(files) << files.error().message;
  const auto tokenizer = Tokenizer::Load(**files);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  ExpectGolden(**tokenizer, GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerJson,
                         testing::Values("llama3", "qwen2", "gpt4o", "deepseek_v3", "sentencepiece"));

TEST(Tokenizer, SpecialTokensAreParsedOnlyWhereAsked) {
  const auto tokenizer = RealTokenizer("SmolLM2-135M");
  if (!tokenizer) GTEST_SKIP() << "QUIRE_MODELS has no SmolLM2";
  const std::string text = "<|im_start|>user\nhi<|im_end|>\n";
  const auto plain = tokenizer->Encode(text, {});
  const auto parsed = tokenizer->Encode(text, {.parse_special = true});
  EXPECT_EQ(parsed, (std::vector<Token>{1, 4093, 198, 6004, 2, 198}));
  EXPECT_GT(plain.size(), parsed.size());
  for (Token id : plain) EXPECT_FALSE(tokenizer->IsSpecial(id));
  EXPECT_EQ(tokenizer->Decode(parsed, true), "user\nhi\n");
  EXPECT_EQ(tokenizer->Decode(parsed, false), text);
  EXPECT_EQ(tokenizer->Find("<|im_end|>"), 2);
  EXPECT_EQ(tokenizer->stop_tokens().front(), 2);
}

TEST(Tokenizer, LongInputsAreFast) {
  const auto tokenizer = RealTokenizer("SmolLM2-135M");
  if (!tokenizer) GTEST_SKIP() << "QUIRE_MODELS has no SmolLM2";
  const size_t kMegabyte = 1 << 20;
  for (const std::string& text : {std::string(kMegabyte, 'a'), std::string(kMegabyte, ' ') + "x",
                                  std::string(kMegabyte, '\n'), std::string(kMegabyte, '\xff')}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(tokenizer->Encode(text, {}).empty());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  }
}

// -- Hostile vocabularies ---------------------------------------------------------------------------------

GgufMetadata SmallVocabulary() {
  GgufMetadata metadata;
  auto& values = metadata.values();
  values["tokenizer.ggml.model"] = std::string("gpt2");
  values["tokenizer.ggml.pre"] = std::string("gpt-2");
  values["tokenizer.ggml.tokens"] = std::vector<std::string>{"a", "b", "ab", "<|end|>"};
  values["tokenizer.ggml.token_type"] = std::vector<int64_t>{1, 1, 1, 3};
  values["tokenizer.ggml.merges"] = std::vector<std::string>{"a b"};
  values["tokenizer.ggml.eos_token_id"] = int64_t{3};
  return metadata;
}

Status LoadFrom(const GgufMetadata& metadata) {
  QUIRE_ASSIGN(TokenizerSpec spec, TokenizerSpecFromGguf(metadata, "hostile.gguf"));
  QUIRE_ASSIGN(const auto tokenizer, MakeTokenizer(std::move(spec)));
  tokenizer->Encode("ab <|end|> \xff", {.parse_special = true});
  return {};
}

TEST(HostileTokenizer, TheSmallVocabularyItselfLoads) {
  const Status status = LoadFrom(SmallVocabulary());
  EXPECT_TRUE(status) << status.error().message;
}

TEST(HostileTokenizer, BadFieldsAreNamed) {
  const std::vector<std::tuple<const char*, GgufValue, const char*>> cases = {
      {"tokenizer.ggml.model", std::string("unigram"), "tokenizer.ggml.model"},
      {"tokenizer.ggml.pre", std::string("klingon"), "tokenizer.ggml.pre"},
      {"tokenizer.ggml.tokens", std::vector<std::string>{}, "tokenizer.ggml.tokens"},
      {"tokenizer.ggml.tokens", int64_t{3}, "tokenizer.ggml.tokens"},
      {"tokenizer.ggml.token_type", std::vector<int64_t>{1}, "tokenizer.ggml.token_type"},
      {"tokenizer.ggml.token_type", std::vector<int64_t>{1, 1, 1, 7}, "token_type[3] is 7"},
      {"tokenizer.ggml.token_type", std::vector<int64_t>{1, -1, 1, 1}, "token_type[1] is -1"},
      {"tokenizer.ggml.scores", std::vector<double>{1}, "tokenizer.ggml.scores"},
      {"tokenizer.ggml.scores", std::vector<double>{1, 2, NAN, 4}, "scores[2]"},
      {"tokenizer.ggml.merges", std::vector<std::string>{"ab"}, "tokenizer.ggml.merges[0]"},
      {"tokenizer.ggml.merges", std::vector<std::string>{""}, "tokenizer.ggml.merges[0]"},
      {"tokenizer.ggml.merges", std::vector<std::string>{"a zz"}, "merge 0"},
      {"tokenizer.ggml.eos_token_id", int64_t{4}, "tokenizer.ggml.eos_token_id"},
      {"tokenizer.ggml.bos_token_id", int64_t{-1}, "tokenizer.ggml.bos_token_id"},
  };
  for (const auto& [key, value, expected] : cases) {
    GgufMetadata metadata = SmallVocabulary();
    metadata.values()[key] = value;
    const Status status = LoadFrom(metadata);
    ASSERT_FALSE(status) << key;
    EXPECT_NE(status.error().message.find(expected), std::string::npos) << status.error().message;
  }
}

TEST(HostileTokenizer, OddButHarmlessVocabulariesLoad) {
  GgufMetadata metadata = SmallVocabulary();
  metadata.values()["tokenizer.ggml.tokens"] = std::vector<std::string>{"a", "b", "ab", ""};
  EXPECT_TRUE(LoadFrom(metadata));
  metadata.values()["tokenizer.ggml.tokens"] = std::vector<std::string>{"a", "b", "ab", "a"};
  metadata.values()["tokenizer.ggml.token_type"] = std::vector<int64_t>{1, 1, 1, 0};
  EXPECT_TRUE(LoadFrom(metadata));
}

}  // namespace
}  // namespace quire

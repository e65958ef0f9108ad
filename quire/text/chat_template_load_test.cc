#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "quire/text/chat_template.h"

// Where a model's template comes from, in each of the formats.

namespace quire {
namespace {

using ::testing::HasSubstr;

// Two special tokens, as far as a template is concerned.
class TwoTokens : public Tokenizer {
 public:
  std::vector<Token> Encode(std::string_view, const EncodeOptions&) const override { return {}; }
  std::vector<size_t> SpecialTextAt(std::string_view) const override { return {}; }
  std::string TokenBytes(Token token, bool special) const override {
    if (!special) return "";
    return token == 0 ? "<|im_start|>" : "<|im_end|>";
  }
  std::string Decode(std::span<const Token>, bool) const override { return ""; }
  bool strips_leading_space() const override { return false; }
  int vocab_size() const override { return 2; }
  bool IsSpecial(Token) const override { return true; }
  std::optional<Token> Find(std::string_view) const override { return std::nullopt; }
  std::optional<Token> bos() const override { return 0; }
  std::optional<Token> eos() const override { return 1; }
  const std::vector<Token>& stop_tokens() const override { return none_; }

 private:
  std::vector<Token> none_;
};

// A safetensors folder in memory: only its text files.
class Folder : public ModelFiles {
 public:
  using Files = std::map<std::string, std::string, std::less<>>;
  explicit Folder(Files files) : files_(std::move(files)) {}
  Format format() const override { return Format::kSafetensors; }
  const std::string& path() const override { return path_; }
  const TensorView* Find(std::string_view) const override { return nullptr; }
  std::vector<std::string> TensorNames() const override { return {}; }
  void Release(const TensorView&) const override {}
  const GgufMetadata& gguf() const override { return gguf_; }
  Result<nlohmann::json> Json(std::string_view name) const override {
    const auto file = files_.find(name);
    return file == files_.end() ? nlohmann::json() : nlohmann::json::parse(file->second);
  }
  Result<std::string> Text(std::string_view name) const override {
    const auto file = files_.find(name);
    if (file == files_.end()) return Fail(ErrorCode::kNotFound, "no {}", name);
    return file->second;
  }

 private:
  Files files_;
  std::string path_ = "models/tiny";
  GgufMetadata gguf_;
};

Result<std::unique_ptr<ChatTemplate>> LoadFrom(Folder::Files files) {
  return ChatTemplate::Load(Folder(std::move(files)), TwoTokens());
}

std::string SourceOf(Folder::Files files) {
  auto loaded = LoadFrom(std::move(files));
  return loaded ? (*loaded)->source() : "error: " + loaded.error().message;
}

TEST(ChatTemplateLoadTest, AFileOfItsOwnComesFirst) {
  EXPECT_EQ(
      SourceOf({{"chat_template.jinja", "own"}, {"tokenizer_config.json", R"({"chat_template": "config"})"}}),
      "own");
}

TEST(ChatTemplateLoadTest, TokenizerConfigHoldsATextOrNamedOnes) {
  EXPECT_EQ(SourceOf({{"tokenizer_config.json", R"({"chat_template": "config"})"}}), "config");
  EXPECT_EQ(SourceOf({{"tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "t"},
                                                          {"name": "default", "template": "d"}]})"}}),
            "d");
}

TEST(ChatTemplateLoadTest, SaysWhatToDoWithoutATemplate) {
  for (const char* config :
       {"{}", R"({"chat_template": null})", R"({"chat_template": [1, {"name": "default"}]})", "[]"}) {
    auto loaded = LoadFrom({{"tokenizer_config.json", config}});
    ASSERT_FALSE(loaded) << config;
    EXPECT_EQ(loaded.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(loaded.error().message, HasSubstr("models/tiny has no chat template"));
    EXPECT_THAT(loaded.error().message, HasSubstr("--chat-template FILE"));
  }
}

TEST(ChatTemplateLoadTest, ABrokenTemplateNamesTheModel) {
  auto loaded = LoadFrom({{"chat_template.jinja", "{% if %}"}});
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message, HasSubstr("models/tiny: the chat template is not valid Jinja: "));
}

TEST(ChatTemplateLoadTest, BosAndEosAreTheTokenizers) {
  auto loaded = LoadFrom({{"chat_template.jinja", "{{ bos_token }}x{{ eos_token }}"}});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(*(*loaded)->Render({}), "<|im_start|>x<|im_end|>");
}

std::unique_ptr<ModelFiles> OpenModel(const std::string& name) {
  const char* folder = std::getenv("QUIRE_MODELS");
  if (!folder) return nullptr;
  auto files = ModelFiles::Open(std::string(folder) + "/" + name);
  EXPECT_TRUE(files) << files.error().message;
  return files ? std::move(*files) : nullptr;
}

TEST(ChatTemplateLoadTest, RealModelWithATemplate) {
  const auto files = OpenModel("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!files) GTEST_SKIP() << "QUIRE_MODELS names no folder of models";
  auto loaded = ChatTemplate::Load(*files, TwoTokens());
  ASSERT_TRUE(loaded) << loaded.error().message;
  ChatInput input;
  input.messages = {{{"role", "user"}, {"content", "Hi"}}};
  EXPECT_EQ(
      *(*loaded)->Render(input),
      "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  input.messages = {{{"role", "system"}, {"content", "Be brief."}}, {{"role", "user"}, {"content", "Hi"}}};
  input.add_generation_prompt = false;
  EXPECT_EQ(*(*loaded)->Render(input),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
}

TEST(ChatTemplateLoadTest, RealModelWithoutATemplate) {
  const auto files = OpenModel("gemma-3-270m.Q4_K_M.gguf");
  if (!files) GTEST_SKIP() << "QUIRE_MODELS names no folder of models";
  auto loaded = ChatTemplate::Load(*files, TwoTokens());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(loaded.error().message, HasSubstr("gemma-3-270m.Q4_K_M.gguf has no chat template"));
}

}  // namespace
}  // namespace quire

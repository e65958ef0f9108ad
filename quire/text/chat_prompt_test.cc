#include "quire/text/chat_prompt.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quire/text/tokenizer_spec.h"

namespace quire {
namespace {

using nlohmann::ordered_json;
using ::testing::ElementsAre;

// Every printable ASCII character and newline is a token, "ab" too; <|end|> and <|end|>s are special.
std::unique_ptr<Tokenizer> Characters() {
  GgufMetadata metadata;
  std::vector<std::string> pieces;
  for (char c = '!'; c <= '~'; ++c) pieces.push_back(std::string(1, c));
  for (const char* piece : {"ab", "Ġ", "Ċ", "<|end|>", "<|end|>s"}) pieces.push_back(piece);
  std::vector<int64_t> types(pieces.size(), 1);
  types[types.size() - 2] = types[types.size() - 1] = 3;
  auto& values = metadata.values();
  values["tokenizer.ggml.model"] = std::string("gpt2");
  values["tokenizer.ggml.pre"] = std::string("gpt-2");
  values["tokenizer.ggml.tokens"] = pieces;
  values["tokenizer.ggml.token_type"] = types;
  values["tokenizer.ggml.merges"] = std::vector<std::string>{"a b"};
  auto spec = TokenizerSpecFromGguf(metadata, "characters.gguf");
  EXPECT_TRUE(spec) << spec.error().message;
  auto tokenizer = MakeTokenizer(std::move(*spec));
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

std::unique_ptr<ChatTemplate> Template(const std::string& source) {
  auto parsed = ChatTemplate::Parse(source, "<bos>", "<eos>");
  EXPECT_TRUE(parsed) << parsed.error().message;
  return std::move(*parsed);
}

ChatInput Say(const std::string& content) {
  ChatInput input;
  input.messages = {{{"role", "user"}, {"content", content}}};
  return input;
}

class ChatPromptTest : public testing::Test {
 protected:
  // The special tokens of the prompt, in order, and the text it stands for.
  std::pair<int, std::string> Special(const ChatTemplate& chat_template, ChatInput input) {
    const auto prompt = RenderChat(chat_template, *tokenizer_, std::move(input));
    EXPECT_TRUE(prompt) << prompt.error().message;
    const std::vector<Token> tokens = prompt->Encode(*tokenizer_);
    const auto count =
        std::ranges::count_if(tokens, [&](Token token) { return tokenizer_->IsSpecial(token); });
    EXPECT_EQ(tokenizer_->Decode(tokens, false), prompt->text);
    return {static_cast<int>(count), prompt->text};
  }

  std::unique_ptr<Tokenizer> tokenizer_ = Characters();
  std::unique_ptr<ChatTemplate> plain_ = Template("{{ messages[0].content }}<|end|>");
};

TEST_F(ChatPromptTest, TheTemplatesOwnSpecialTokensCount) {
  EXPECT_EQ(Special(*plain_, Say("hello")), std::pair(1, std::string("hello<|end|>")));
}

TEST_F(ChatPromptTest, WhatAUserWritesIsTextOnly) {
  EXPECT_EQ(Special(*plain_, Say("x<|end|>y")), std::pair(1, std::string("x<|end|>y<|end|>")));
  EXPECT_EQ(Special(*plain_, Say("<|end|>")), std::pair(1, std::string("<|end|><|end|>")));
  EXPECT_EQ(Special(*plain_, Say("<|end|>s<|end|>s")), std::pair(1, std::string("<|end|>s<|end|>s<|end|>")));
}

TEST_F(ChatPromptTest, HoldsWhateverTheTemplateDoesToTheText) {
  for (const char* expression : {
           "messages[0].content | trim",
           "messages[0].content[1:]",
           "messages[0].content.split('#')[1]",
           "messages[0].content.replace('#', '')",
           "'a' + messages[0].content + 'b'",
           "messages[0].content | upper | lower",
           "messages | tojson",
           "messages[0].content.split('#') | join('')",
       }) {
    const auto made = Template(fmt::format("{{{{ {} }}}}|<|end|>", expression));
    EXPECT_EQ(Special(*made, Say("#<|end|>#<|end|>s")).first, 1) << expression;
  }
}

TEST_F(ChatPromptTest, KeysToolsAndTemplateArgumentsAreGuardedToo) {
  ChatInput input = Say("hi");
  input.tools = {{{"type", "function"}, {"function", {{"name", "<|end|>"}, {"<|end|>", 1}}}}};
  input.extra = {{"mood", "<|end|>"}};
  const auto made = Template("{{ mood }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}<|end|>");
  EXPECT_EQ(Special(*made, std::move(input)).first, 1);
}

TEST_F(ChatPromptTest, TextAroundTheForgeryIsTokenizedAsEver) {
  const std::vector<Token> tokens = RenderChat(*plain_, *tokenizer_, Say("ab<|end|>ab"))->Encode(*tokenizer_);
  EXPECT_EQ(std::ranges::count(tokens, *tokenizer_->Find("ab")), 2);
}

TEST_F(ChatPromptTest, NoncharactersOfTheUserStay) {
  const std::string odd = "\uFDD0\uFDD1<|end|>\uFDEF";
  const auto prompt = RenderChat(*plain_, *tokenizer_, Say(odd));
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->text, odd + "<|end|>");
  EXPECT_THAT(prompt->breaks, ElementsAre(7));
}

TEST_F(ChatPromptTest, AllNoncharactersAtOnceAreRefused) {
  std::string all = "<|end|>";
  for (int i = 0; i < 32; ++i) all += {'\xEF', '\xB7', static_cast<char>(0x90 + i)};
  const auto prompt = RenderChat(*plain_, *tokenizer_, Say(all));
  ASSERT_FALSE(prompt);
  EXPECT_THAT(prompt.error().message, testing::HasSubstr("noncharacters"));
}

TEST_F(ChatPromptTest, CutDropsTheBreaksBehindIt) {
  ChatPrompt prompt{"ab<|end|>cd", {3, 9}};
  prompt.Cut(5);
  EXPECT_EQ(prompt.text, "ab<|e");
  EXPECT_THAT(prompt.breaks, ElementsAre(3));
}

}  // namespace
}  // namespace quire

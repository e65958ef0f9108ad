#include "quire/sim/quality/task_maker.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <set>

#include "quire/sim/quality/quality_run.h"

namespace quire {
namespace {

// A token is a byte; 256 begins a text.
class ByteTokenizer final : public Tokenizer {
 public:
  std::vector<Token> Encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<Token> tokens;
    if (options.add_special) tokens.push_back(256);
    for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
    return tokens;
  }
  std::vector<size_t> SpecialTextAt(std::string_view) const override { return {}; }
  std::string TokenBytes(Token token, bool) const override {
    return token < 256 ? std::string(1, static_cast<char>(token)) : "";
  }
  std::string Decode(std::span<const Token> tokens, bool) const override {
    std::string text;
    for (const Token token : tokens) text += TokenBytes(token, false);
    return text;
  }
  bool strips_leading_space() const override { return false; }
  int vocab_size() const override { return 257; }
  bool IsSpecial(Token token) const override { return token == 256; }
  std::optional<Token> Find(std::string_view) const override { return std::nullopt; }
  std::optional<Token> bos() const override { return 256; }
  std::optional<Token> eos() const override { return std::nullopt; }
  const std::vector<Token>& stop_tokens() const override { return stops_; }

 private:
  std::vector<Token> stops_;
};

class TaskMakerTest : public testing::Test {
 protected:
  TaskMakerTest() {
    std::string text;
    for (int article = 0; article < 8; ++article) {
      text += fmt::format(" \n = Title {} = \n \n", article);
      for (int i = 0; i < 40; ++i) text += fmt::format(" Sentence {} of number {} is here . \n", i, article);
      text += fmt::format(" = = Section = = \n");
    }
    std::vector<Example> examples;
    for (int i = 0; i < 60; ++i)
      examples.push_back({fmt::format("example {}", i), fmt::format("kind {}", i % 6)});
    maker_.emplace(tokenizer_, text, examples);
  }
  std::string Decode(std::span<const Token> tokens) const { return tokenizer_.Decode(tokens, true); }
  std::string Shown(const QualityTask& task, const Passage& passage) const {
    return Decode(std::span(task.context).subspan(passage.begin, passage.end - passage.begin));
  }
  // What holds of all tasks of five questions.
  void Check(const QualityTask& task, int64_t tokens) const {
    EXPECT_EQ(task.context.front(), 256);
    EXPECT_LE(LongestTokens(task), tokens + 5 * KvSession::kQuestionTokens);
    ASSERT_EQ(task.questions.size(), 5u);
    for (const QualityQuestion& question : task.questions) {
      EXPECT_EQ(std::set(question.answers.begin(), question.answers.end()).size(), 5u) << "all different";
      ASSERT_FALSE(question.evidence.empty());
      for (const Passage& passage : question.evidence) {
        EXPECT_NE(Shown(task, passage).find(Decode(question.answers[0])), std::string::npos);
      }
    }
  }

  ByteTokenizer tokenizer_;
  std::optional<TaskMaker> maker_;
};

TEST_F(TaskMakerTest, PassKeysStandOnceInTheText) {
  std::set<std::string> keys;
  for (int i = 0; i < 10; ++i) {
    const QualityTask task = maker_->PassKey(1000, i);
    const QualityQuestion& question = task.questions.at(0);
    EXPECT_EQ(std::ssize(task.context) + std::ssize(question.ask), 1000);
    const std::string key = Decode(question.answers[0]);
    keys.insert(key);
    EXPECT_EQ(key.size(), 6u) << "a space and five digits";
    EXPECT_NE(Shown(task, question.evidence.at(0)).find(key), std::string::npos);
    const std::string text = Decode(task.context);
    for (size_t a = 1; a < question.answers.size(); ++a) {
      EXPECT_EQ(text.find(Decode(question.answers[a])), std::string::npos) << "others are not planted";
    }
    EXPECT_EQ(question.alphabets.at(0).size(), 10u);
    EXPECT_EQ(task.context, maker_->PassKey(1000, i).context);
  }
  EXPECT_EQ(keys.size(), 10u);
}

TEST_F(TaskMakerTest, FactsAreAllPlantedAndAsked) {
  for (int i = 0; i < 10; ++i) {
    const QualityTask task = maker_->Facts(900, i);
    Check(task, 900);
    for (const QualityQuestion& question : task.questions) {
      EXPECT_TRUE(
          Shown(task, question.evidence[0]).starts_with(Decode(question.ask) + Decode(question.answers[0])))
          << "the line that was asked for";
    }
  }
}

TEST_F(TaskMakerTest, ArticlesAndWhatIsBetweenThem) {
  const auto articles = maker_->Articles(3000, 4);
  ASSERT_TRUE(articles) << articles.error().message;
  Check(*articles, 3000);
  for (const QualityQuestion& question : articles->questions) {
    const std::string ask = Decode(question.ask), quote = ask.substr(2, 32);
    EXPECT_NE(Shown(*articles, question.evidence[0]).find(quote), std::string::npos) << ask;
  }
  const auto mixed = maker_->Mixed(3000, 4);
  ASSERT_TRUE(mixed);
  Check(*mixed, 3000 + 250);
  int codes = 0;
  for (const QualityQuestion& question : mixed->questions) codes += !question.alphabets.empty();
  EXPECT_EQ(codes, 2);
  EXPECT_NE(maker_->Articles(100'000, 0).error().message.find("Title"), std::string::npos);
}

TEST_F(TaskMakerTest, ExamplesAreNotTheirOwnAnswers) {
  const auto task = maker_->Examples(1500, 2);
  ASSERT_TRUE(task) << task.error().message;
  Check(*task, 1500);
  const std::string text = Decode(task->context);
  for (const QualityQuestion& question : task->questions) {
    EXPECT_EQ(text.find(Decode(question.ask)), std::string::npos) << "what is asked is not shown";
    EXPECT_GE(question.evidence.size(), 3u);
  }
  const TaskMaker none(tokenizer_, "text", {});
  EXPECT_NE(none.Examples(1500, 2).error().message.find("0 categories"), std::string::npos);
}

TEST(ParseExamples, ReadsQuestionsWithCategories) {
  const auto examples = ParseExamples(
      "{\"question_id\": 81, \"category\": \"math_reasoning\", \"turns\": [\"One\\nand two\", \"x\"]}\n\n"
      "{\"category\": \"qa\", \"turns\": [\"Who?\"]}\n");
  ASSERT_TRUE(examples) << examples.error().message;
  ASSERT_EQ(examples->size(), 2u);
  EXPECT_EQ((*examples)[0].category, "math reasoning");
  EXPECT_EQ((*examples)[0].text, "One and two");
  for (const char* line : {"{", "[]", "{\"category\": 1, \"turns\": [\"x\"]}",
                           "{\"category\": \"x\", \"turns\": []}", "{\"category\": \"x\", \"turns\": [1]}"}) {
    EXPECT_NE(ParseExamples(std::string("\n") + line).error().message.find("line 2"), std::string::npos)
        << line;
  }
}

}  // namespace
}  // namespace quire

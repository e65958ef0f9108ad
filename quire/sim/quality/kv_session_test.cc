#include "quire/sim/quality/kv_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "quire/engine/hash_model.h"
#include "quire/model/model_testing.h"
#include "quire/policies/selection.h"
#include "quire/sim/quality/quality_run.h"
#include "quire/sim/quality/saliency.h"

namespace quire {
namespace {

constexpr int64_t kStep = 64;

std::vector<Token> Text(int64_t tokens, int salt) {
  std::vector<Token> text;
  for (int64_t i = 0; i < tokens; ++i) text.push_back(static_cast<Token>((i * 7 + salt * 5) % 61));
  return text;
}

double Nll(const HashModel& model, std::vector<Token> prefix, std::span<const Token> answer) {
  double nll = 0;
  for (const Token token : answer) {
    const std::vector<float> logits = model.LogitsAfter(prefix);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
    nll += std::log(sum) - logits[token];
    prefix.push_back(token);
  }
  return nll;
}

std::vector<Token> Joined(std::vector<Token> a, std::span<const Token> b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class KvSessionTest : public ::testing::Test {
 protected:
  KvSession Session(int64_t tokens) {
    const KvVariant variant{.name = "all", .types = DType::kF32};
    return std::move(*KvSession::Create(model_, variant, tokens, kStep));
  }
  QualityQuestion Question(int salt) const {
    return {.ask = Text(5, salt), .answers = {{3, 1, 4}, {2, 7}, {9}}, .alphabets = {}, .evidence = {}};
  }

  HashModel model_;
};

TEST_F(KvSessionTest, AnswersAreScoredBehindWhatWasRead) {
  KvSession session = Session(300);
  const std::vector<Token> text = Text(150, 1);
  session.Read(text);
  for (int salt = 2; salt < 4; ++salt) {  // a question leaves no trace
    const QualityQuestion question = Question(salt);
    const AnswerScore score = session.Ask(question);
    ASSERT_EQ(score.nlls.size(), 3u);
    for (size_t a = 0; a < 3; ++a) {
      EXPECT_NEAR(score.nlls[a], Nll(model_, Joined(text, question.ask), question.answers[a]), 1e-4);
    }
  }
  session.Read(Text(20, 9));
  const QualityQuestion question = Question(5);
  const std::vector<Token> all = Joined(Joined(text, Text(20, 9)), question.ask);
  EXPECT_NEAR(session.Ask(question).nlls[0], Nll(model_, all, question.answers[0]), 1e-4);
  session.Forget();
  EXPECT_EQ(session.full_pages(), 0);
}

TEST_F(KvSessionTest, KnowsWhatWouldBeGenerated) {
  KvSession session = Session(100);
  const std::vector<Token> text = Text(30, 1);
  QualityQuestion question = Question(2);
  std::vector<Token> prefix = Joined(text, question.ask), answer;
  const std::vector<Token> digits = {1, 2, 3, 4, 5};
  for (int i = 0; i < 3; ++i) {
    const std::vector<float> logits = model_.LogitsAfter(prefix);
    answer.push_back(*std::ranges::max_element(digits, {}, [&](Token t) { return logits[t]; }));
    prefix.push_back(answer.back());
  }
  question.alphabets = {digits};
  question.answers[0] = answer;
  session.Read(text);
  EXPECT_TRUE(session.Ask(question).generated);
  question.answers[0][2] = answer[2] % 5 + 1;
  EXPECT_FALSE(session.Ask(question).generated);
}

TEST_F(KvSessionTest, LikelihoodsOfATextInSteps) {
  KvSession session = Session(200);
  const std::vector<Token> text = Text(150, 3);
  const std::vector<double> nlls = session.NegativeLogLikelihoods(text);
  ASSERT_EQ(nlls.size(), 149u);
  for (const size_t at : {0u, 63u, 64u, 148u}) {
    const std::vector<Token> prefix(text.begin(), text.begin() + at + 1);
    EXPECT_NEAR(nlls[at], Nll(model_, prefix, {&text[at + 1], 1}), 1e-4) << at;
  }
}

// Answers that are chosen count by what the text makes of them, others as they are.
TEST_F(KvSessionTest, ConversationsHaveWhatWasAskedBefore) {
  KvSession session = Session(300);
  QualityTask task{.context = Text(100, 1), .questions = {Question(2), Question(3)}};
  const std::vector<Token> digits = {1, 2};
  task.questions[1].alphabets = {digits};
  const auto alone = AskAll(session, task, TurnMode::kRequests);
  const auto talk = AskAll(session, task, TurnMode::kConversation);
  ASSERT_EQ(alone.size(), 2u);
  EXPECT_EQ(alone[0].nlls, talk[0].nlls);
  const QualityQuestion &first = task.questions[0], &second = task.questions[1];
  EXPECT_NEAR(alone[0].nlls[1],
              Nll(model_, Joined(task.context, first.ask), first.answers[1]) -
                  Nll(model_, first.ask, first.answers[1]),
              1e-4);
  EXPECT_NEAR(alone[1].nlls[0], Nll(model_, Joined(task.context, second.ask), second.answers[0]), 1e-4);
  const std::vector<Token> before = Joined(Joined(task.context, first.ask), first.answers[0]);
  EXPECT_NEAR(talk[1].nlls[0], Nll(model_, Joined(before, second.ask), second.answers[0]), 1e-4);
}

TEST_F(KvSessionTest, RefusesWhatCannotBe) {
  const KvVariant all{.name = "all", .types = DType::kF32};
  EXPECT_NE(KvSession::Create(model_, all, 5000, kStep).error().message.find("4096"), std::string::npos);
  HashModel windows({.windows = {0, 64}});
  const KvVariant leaving{.name = "window", .types = all.types, .leaves = OutsideSinksAndWindow};
  EXPECT_NE(KvSession::Create(windows, leaving, 500, kStep).error().message.find("sliding windows"),
            std::string::npos);
  EXPECT_TRUE(KvSession::Create(windows, all, 500, kStep));
}

// With a real model: leaving nothing out changes nothing, and leaving the only place of an answer out is what
// hurts it most.
TEST(KvSessionRealModel, LeavesPagesOut) {
  const std::string path = testing::RealModelPath("SmolLM2-135M-Instruct.Q4_1.gguf");
  if (path.empty()) GTEST_SKIP() << "QUIRE_MODELS has no SmolLM2";
  ThreadPool pool(2);
  const auto model = std::move(*testing::LoadModel(path, {}, pool));
  const auto files = std::move(*ModelFiles::Open(path));
  const auto tokenizer = std::move(*Tokenizer::Load(*files));
  const auto encode = [&](std::string_view text) { return tokenizer->Encode(text, {.add_special = false}); };
  std::string text;
  for (int i = 0; i < 12; ++i)
    text += "The grass is green and the sky is blue, and the road goes on and on. ";
  std::vector<Token> context = encode(text);
  const Passage evidence{std::ssize(context), std::ssize(context) + 20};
  for (const Token token : encode("\nThe pass key is 52817. Remember it.\n" + text)) context.push_back(token);
  const QualityQuestion question{.ask = encode("\nThe pass key is"),
                                 .answers = {encode(" 52817"), encode(" 52871")},
                                 .alphabets = {},
                                 .evidence = {evidence}};
  const KvVariant full = KvVariants().front();
  KvSession session = std::move(*KvSession::Create(*model, full, 1024, 512));
  session.Read(context);
  const AnswerScore score = session.Ask(question);
  EXPECT_TRUE(IsSolved(question, score));
  const std::vector<PageRange> groups = PageGroups(session.full_pages(), 4, 2);
  const SaliencyMap map = MakeSaliencyMap(session, question, groups);
  EXPECT_NEAR(map.nll, score.nlls[0], 1e-3);
  EXPECT_GT(map.largest().nll_rise, 1);
  EXPECT_TRUE(Overlaps(map.largest().pages, session.page_tokens(), question.evidence));
  EXPECT_NEAR(session.Ask(question).nlls[0], score.nlls[0], 1e-9) << "what was read is as it was";

  // A session that selects all pages reads them as if it did not select, and with a few finds the same.
  for (const auto& [spec, tolerance] :
       {std::pair("quest:budget=1", 1e-9), std::pair("quest:budget=0.5", 1.0)}) {
    const std::vector<std::string> names = {spec};
    const auto selecting = std::move(
        *testing::LoadModel(path, {.selection = std::move(MakeSelectionPolicy(spec).value())}, pool));
    KvSession some = std::move(*KvSession::Create(*selecting, ChooseKvVariants(names)->back(), 1024, 512));
    some.Read(context);
    EXPECT_NEAR(some.Ask(question).nlls[0], score.nlls[0], tolerance);
    EXPECT_EQ(some.full_pages(), session.full_pages()) << "nothing leaves";
  }

  // The window has lost what stands before it.
  const std::vector<std::string> names = {"window"};
  const KvVariant leaving = ChooseKvVariants(names)->back();
  KvSession window = std::move(*KvSession::Create(*model, leaving, 1024, 512));
  window.Read(context);
  EXPECT_LE(window.full_pages(), std::ssize(context) / 16 / 4 + 1);
  EXPECT_LT(window.Ask(question).margin(), score.margin() - 1);
}

}  // namespace
}  // namespace quire

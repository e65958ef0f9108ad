// The pure parts: variants, counts, verdicts, maps.
#include <gtest/gtest.h>

#include "quire/sim/quality/cap_verdict.h"
#include "quire/sim/quality/kv_variant.h"
#include "quire/sim/quality/quality_run.h"
#include "quire/sim/quality/saliency.h"

namespace quire {
namespace {

TEST(KvVariants, BeginWithTheFullCache) {
  const std::vector<KvVariant> all = KvVariants();
  EXPECT_EQ(all.front().name, "f16");
  EXPECT_EQ(all.front().kv_class, KvClass::kFull);
  EXPECT_EQ(std::ranges::count(all, KvClass::kFull, &KvVariant::kv_class), 1);
  EXPECT_EQ(std::ranges::count(all, KvClass::kEviction, &KvVariant::kv_class), 1);

  const std::vector<std::string> names = {"int4", "f16", "int4", "window"};
  const auto chosen = ChooseKvVariants(names);
  ASSERT_TRUE(chosen);
  ASSERT_EQ(chosen->size(), 3u);
  EXPECT_EQ((*chosen)[1].name, "int4");
  EXPECT_EQ((*chosen)[2].name, "window");
  const std::vector<std::string> selections = {"quest", "quest:budget=0.125,dense_layers=1"};
  const auto selecting = ChooseKvVariants(selections);
  ASSERT_TRUE(selecting);
  ASSERT_EQ(selecting->size(), 3u);
  EXPECT_EQ((*selecting)[1].kv_class, KvClass::kSelection);
  EXPECT_EQ((*selecting)[2].selection, selections[1]);
  const std::vector<std::string> misspelt = {"quest:share=1"};
  EXPECT_NE(ChooseKvVariants(misspelt).error().message.find("budget"), std::string::npos);
  const std::vector<std::string> unknown = {"int3"};
  EXPECT_NE(ChooseKvVariants(unknown).error().message.find("int8"), std::string::npos);
}

TEST(KvVariants, TheWindowKeepsAQuarterOfWhatWasRead) {
  const auto stays = [](int64_t held, int64_t read) {
    const PageRange out = OutsideSinksAndWindow({held, read});
    EXPECT_EQ(out.begin, 1) << "the first page stays";
    return held - (out.end - out.begin);
  };
  EXPECT_EQ(stays(64, 64), 16);
  EXPECT_EQ(stays(20, 68), 17) << "of all that was read";
  EXPECT_EQ(stays(16, 65), 16) << "nothing to spare";
  EXPECT_EQ(stays(3, 3), 2) << "never less than the first and the last";
  EXPECT_EQ(stays(1, 1), 1);
}

QualityQuestion Choice() { return {.ask = {1}, .answers = {{2}, {3}, {4}}, .alphabets = {}, .evidence = {}}; }

TEST(AnswerScore, IsSolvedByANat) {
  const QualityQuestion choice = Choice();
  EXPECT_NEAR((AnswerScore{{1.0, 2.5, 1.75}, true}.margin()), 0.75, 1e-12);
  EXPECT_TRUE(IsRight(choice, {{1.0, 1.5, 3}, false}));
  EXPECT_FALSE(IsSolved(choice, {{1.0, 1.5, 3}, false})) << "half a nat may be luck";
  EXPECT_TRUE(IsSolved(choice, {{1.0, 2.5, 3}, false}));
  EXPECT_FALSE(IsRight(choice, {{1.0, 0.5, 3}, true}));

  QualityQuestion spelled = choice;
  const std::vector<Token> digits = {2, 3, 4};
  spelled.alphabets = {digits};
  EXPECT_FALSE(IsRight(spelled, {{1.0, 9, 9}, false})) << "another digit was likelier";
  EXPECT_TRUE(IsSolved(spelled, {{1.0, 9, 9}, true}));
}

TEST(AnswerCount, KeepsOnlyWhatTheFullCacheSolves) {
  const std::vector<QualityQuestion> questions(4, Choice());
  const std::vector<AnswerScore> full = {{{0, 5}, true}, {{0, 5}, true}, {{0, 0.5}, true}, {{2, 0}, true}};
  const std::vector<AnswerScore> other = {{{0, 5}, true}, {{5, 0}, true}, {{0, 3}, true}, {{0, 4}, true}};
  const AnswerCount count = CountAnswers(questions, full, other);
  EXPECT_EQ(count.asked, 4);
  EXPECT_EQ(count.right, 3);
  EXPECT_EQ(count.full_solved, 2);
  EXPECT_EQ(count.kept, 1);
  EXPECT_EQ(count.kept_share(), 0.5);
  EXPECT_EQ(CountAnswers(questions, full, full).kept_share(), 1);
}

TEST(LongestTokens, HasRoomForAConversation) {
  QualityTask task{.context = {1, 2, 3}, .questions = {Choice(), Choice()}};
  task.questions[1].answers[2] = {5, 6, 7};
  EXPECT_EQ(LongestTokens(task), 3 + (1 + 1) + (1 + 3));
}

TEST(CapVerdict, NamesWhatIsBetterThanTheFullCache) {
  const CapFigures full{1000, 0.8, 0, 0, 90, 100};
  EXPECT_EQ(JudgeCap(full, full).Letters(), "---");
  EXPECT_EQ(JudgeCap(full, {2000, 0.8, 0.01, 0.001, 80, 95}).Letters(), "C--");
  EXPECT_EQ(JudgeCap(full, {1000, 0.8, -0.01, 0.001, 101, 120}).Letters(), "-AP");
  EXPECT_EQ(JudgeCap(full, {1040, 0.8, -0.01, 0.006, 99, 130}).Letters(), "---")
      << "within the noise, or too little";
  EXPECT_EQ(JudgeCap(full, {2000, 0.7, -0.01, 0.001, 101, 102}).Letters(), "C-P") << "fewer are solved";
  const CapVerdict all = JudgeCap(full, {2000, 0.8, -0.01, 0.001, 101, 102});
  EXPECT_EQ(all.Letters(), "CAP");
  EXPECT_TRUE(all.all());
}

TEST(PageGroups, CoverAllPagesButTheFirst) {
  const std::vector<PageRange> groups = PageGroups(10, 4, 2);
  ASSERT_EQ(groups.size(), 4u);
  EXPECT_EQ(groups.front().begin, 1);
  EXPECT_EQ(groups.back().begin, 7);
  EXPECT_EQ(groups.back().end, 10);
  EXPECT_EQ(PageGroups(4, 8, 4).size(), 1u);
  EXPECT_TRUE(PageGroups(1, 8, 4).empty());
  const Passage passages[] = {{70, 80}};
  EXPECT_TRUE(Overlaps({4, 5}, 16, passages));
  EXPECT_FALSE(Overlaps({5, 9}, 16, passages));
  EXPECT_FALSE(Overlaps({1, 4}, 16, passages));
}

}  // namespace
}  // namespace quire

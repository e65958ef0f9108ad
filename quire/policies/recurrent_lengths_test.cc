#include "quire/policies/recurrent_lengths.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

namespace quire {
namespace {

SequenceFacts Facts(const std::vector<Token>& prompt, int64_t output) {
  return {.prompt = prompt, .output_tokens = output, .max_output_tokens = 4000};
}

TEST(RecurrentLengths, SaysTheLimitBeforeItKnowsAnything) {
  const RecurrentLengths lengths;
  const std::vector<Token> prompt(10);
  EXPECT_EQ(lengths.Remaining(Facts(prompt, 0)), 4000);
  EXPECT_EQ(lengths.Remaining(Facts(prompt, 100)), 3900);
}

TEST(RecurrentLengths, LearnsWhatPromptsSay) {
  RecurrentLengths lengths;
  std::mt19937 random(3);
  const std::vector<Token> small(20), large(4000);
  for (int i = 0; i < 2000; ++i) {
    if (random() % 2 == 0) {
      lengths.Learn(Facts(small, 180 + random() % 40));
    } else {
      lengths.Learn(Facts(large, 18 + random() % 4));
    }
  }
  EXPECT_NEAR(lengths.Remaining(Facts(small, 0)), 200, 30);
  EXPECT_NEAR(lengths.Remaining(Facts(large, 0)), 20, 5);
  EXPECT_NEAR(lengths.Remaining(Facts(small, 150)), 50, 30);
  EXPECT_GE(lengths.Remaining(Facts(small, 3000)), 1) << "longer than anybody before";
  EXPECT_LT(lengths.Remaining(Facts(small, 3000)), 1000);
  EXPECT_EQ(lengths.Remaining(Facts(small, 4000)), 0);
}

// Lengths come in waves that prompts say nothing about: the memory has seen how the last answers were.
TEST(RecurrentLengths, LearnsWhatTheLastAnswersSay) {
  RecurrentLengths lengths;
  const std::vector<Token> prompt(100);
  double missed = 0;
  for (int i = 0; i < 4000; ++i) {
    const int64_t length = i / 50 % 2 == 0 ? 20 : 400;
    if (i >= 3000) missed += std::abs(std::log(static_cast<double>(length)) - lengths.LogLength(100));
    lengths.Learn(Facts(prompt, length));
  }
  EXPECT_LT(missed / 1000, 0.5) << "the mean of both would miss by 1.5";
}

TEST(RecurrentLengths, StaysFiniteWhateverItSees) {
  RecurrentLengths lengths;
  std::mt19937 random(9);
  const std::vector<Token> prompt(3000);
  for (int i = 0; i < 2000; ++i) {
    SequenceFacts facts{.prompt = std::span(prompt).first(random() % 3001),
                        .output_tokens = static_cast<int64_t>(random()) % 1'000'000,
                        .max_output_tokens = 1'000'000};
    lengths.Learn(facts);
    facts.output_tokens = static_cast<int64_t>(random()) % 1'000'000;
    const double remaining = lengths.Remaining(facts);
    ASSERT_TRUE(std::isfinite(remaining));
    ASSERT_GE(remaining, 0);
    ASSERT_LE(remaining, 1'000'000);
  }
}

}  // namespace
}  // namespace quire

#include "quire/policies/length_predictor.h"

#include <gtest/gtest.h>

namespace quire {
namespace {

SequenceFacts Facts(std::string_view tenant, size_t prompt, int64_t output) {
  static const std::vector<Token> tokens(4096, 1);
  return {.tenant = tenant,
          .prompt = std::span(tokens).first(prompt),
          .output_tokens = output,
          .max_output_tokens = 2000};
}

TEST(LengthHistograms, KnowsNothingButTheLimitAtFirst) {
  EXPECT_EQ(LengthHistograms().Remaining(Facts("a", 10, 0)), 2000);
  EXPECT_EQ(LengthHistograms().Remaining(Facts("a", 10, 500)), 1500);
}

TEST(LengthHistograms, LearnsPerTenantAndPromptSize) {
  LengthHistograms predictor;
  for (int i = 0; i < 50; ++i) {
    predictor.Learn(Facts("short", 100, 16));
    predictor.Learn(Facts("long", 100, 512));
    predictor.Learn(Facts("long", 2000, 64));
  }
  EXPECT_NEAR(predictor.Remaining(Facts("short", 110, 0)), 16, 4);
  EXPECT_NEAR(predictor.Remaining(Facts("long", 110, 0)), 512, 100);
  EXPECT_NEAR(predictor.Remaining(Facts("long", 1100, 0)), 64, 16);
  // Nobody of this tenant has finished: like everybody.
  const double stranger = predictor.Remaining(Facts("new", 100, 0));
  EXPECT_GT(stranger, 16);
  EXPECT_LT(stranger, 512);
}

TEST(LengthHistograms, WhatIsOutAlreadyCounts) {
  LengthHistograms predictor;
  for (int i = 0; i < 50; ++i) predictor.Learn(Facts("a", 100, i % 2 == 0 ? 16 : 256));
  EXPECT_NEAR(predictor.Remaining(Facts("a", 100, 0)), (16 + 256) / 2, 20);
  EXPECT_NEAR(predictor.Remaining(Facts("a", 100, 40)), 256 - 40, 40);  // the short ones are ruled out
  EXPECT_EQ(predictor.Remaining(Facts("a", 100, 1500)), 500);           // nobody ever got this far: the limit
}

TEST(LengthHistograms, ForgetsWhatWas) {
  LengthHistograms predictor;
  for (int i = 0; i < 200; ++i) predictor.Learn(Facts("a", 100, 16));
  for (int i = 0; i < 1500; ++i) predictor.Learn(Facts("a", 100, 512));
  EXPECT_GT(predictor.Remaining(Facts("a", 100, 0)), 450);
}

}  // namespace
}  // namespace quire

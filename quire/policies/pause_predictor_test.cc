#include "quire/policies/pause_predictor.h"

#include <gtest/gtest.h>

namespace quire {
namespace {

TEST(PausePredictor, ExpectsSecondsAtFirst) {
  const PausePredictor predictor;
  const Pauses& pauses = predictor.Of("a", "search");
  EXPECT_EQ(pauses.ShareWithin(0.05), 0);
  EXPECT_NEAR(pauses.ShareWithin(1), 0.5, 0.1);
  EXPECT_EQ(pauses.ShareWithin(12), 1);
}

TEST(PausePredictor, LearnsPerToolAndTenant) {
  PausePredictor predictor;
  for (int i = 0; i < 50; ++i) {
    predictor.Learn("a", "search", 0.2);
    predictor.Learn("a", "compile", 30);
    predictor.Learn("b", "search", 2);
  }
  EXPECT_EQ(predictor.Of("a", "search").ShareWithin(0.3), 1);
  EXPECT_EQ(predictor.Of("a", "compile").ShareWithin(20), 0);
  EXPECT_EQ(predictor.Of("b", "search").ShareWithin(1), 0);
  EXPECT_NEAR(predictor.Of("c", "search").ShareWithin(1), 0.5, 0.2)
      << "of a stranger, what the tool took others";
  EXPECT_NEAR(predictor.Of("c", "unheard of").ShareWithin(10), 0.67, 0.2) << "what pauses take in general";
  EXPECT_NEAR(predictor.Of("a", "compile").MeanUpTo(10), 10, 0.01);
  EXPECT_NEAR(predictor.Of("a", "compile").MeanUpTo(100), 30, 6);
}

TEST(PausePredictor, ForgetsWhatWas) {
  PausePredictor predictor;
  for (int i = 0; i < 300; ++i) predictor.Learn("a", "search", 50);
  for (int i = 0; i < 300; ++i) predictor.Learn("a", "search", 1);
  EXPECT_GT(predictor.Of("a", "search").ShareWithin(2), 0.9);
}

TEST(Pauses, AShareOfThoseThatAreLonger) {
  Pauses pauses;
  EXPECT_EQ(pauses.ShareWithin(1), 1) << "nothing is known";
  for (int i = 0; i < 10; ++i) {
    pauses.Add(1);
    pauses.Add(8);
    pauses.Add(64);
  }
  EXPECT_NEAR(pauses.ShareWithin(10), 0.67, 0.03);
  EXPECT_NEAR(pauses.ShareWithin(10, 2), 0.5, 0.03);
  EXPECT_EQ(pauses.ShareWithin(10, 12), 0);
  pauses.Add(-1);  // of a clock that a stranger set: the shortest
  pauses.Add(1e30);
  EXPECT_LT(pauses.ShareWithin(1e6), 1);
}

}  // namespace
}  // namespace quire

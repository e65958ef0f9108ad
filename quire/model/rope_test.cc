#include "quire/model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

namespace quire {
namespace {

RopeConfig Plain(int64_t rotary_dim = 8) {
  RopeConfig config;
  config.base = 10000;
  config.rotary_dim = rotary_dim;
  return config;
}

TEST(Rope, FrequenciesFallGeometrically) {
  const RopeFrequencies rope = MakeRopeFrequencies(Plain(), 100);
  ASSERT_EQ(rope.pairs(), 4);
  EXPECT_FLOAT_EQ(rope.frequencies[0], 1.0f);
  EXPECT_FLOAT_EQ(rope.frequencies[1], 0.1f);
  EXPECT_FLOAT_EQ(rope.frequencies[3], 0.001f);
  EXPECT_EQ(rope.magnitude, 1.0f);
}

TEST(Rope, AnglesAreThoseOfThePosition) {
  const RopeFrequencies rope = MakeRopeFrequencies(Plain(), 100);
  float cos[4], sin[4];
  rope.Angles(30, cos, sin);
  EXPECT_FLOAT_EQ(cos[1], std::cos(3.0f));
  EXPECT_FLOAT_EQ(sin[3], std::sin(0.03f));
}

TEST(Rope, LinearDividesEveryFrequency) {
  RopeConfig config = Plain();
  config.scaling = RopeScaling::kLinear;
  config.factor = 4;
  EXPECT_FLOAT_EQ(MakeRopeFrequencies(config, 100).frequencies[2], 0.0025f);
}

TEST(Rope, Llama3KeepsHighFrequenciesAndDividesLowOnes) {
  RopeConfig config = Plain();
  config.scaling = RopeScaling::kLlama3;
  config.factor = 8;
  config.original_context = 200;  // turns of the pairs: 31.8, 3.18, 0.318, 0.0318
  const RopeFrequencies rope = MakeRopeFrequencies(config, 1600);
  EXPECT_FLOAT_EQ(rope.frequencies[0], 1.0f);
  const double keep = (200 * 0.1 / (2 * M_PI) - 1) / 3;
  EXPECT_FLOAT_EQ(rope.frequencies[1], static_cast<float>(0.1 * keep + (1 - keep) * 0.1 / 8));
  EXPECT_FLOAT_EQ(rope.frequencies[2], 0.01f / 8);
}

TEST(Rope, YarnKeepsFastPairsAndEnlarges) {
  RopeConfig config = Plain(64);
  config.scaling = RopeScaling::kYarn;
  config.factor = 4;
  config.original_context = 2048;
  const RopeFrequencies rope = MakeRopeFrequencies(config, 8192);
  EXPECT_FLOAT_EQ(rope.frequencies[0], 1.0f);
  EXPECT_FLOAT_EQ(rope.frequencies[31], static_cast<float>(std::pow(10000.0, -62.0 / 64) / 4));
  EXPECT_FLOAT_EQ(rope.magnitude, static_cast<float>(0.1 * std::log(4.0) + 1));
}

TEST(Rope, FactorsAreChosenByTheServedContext) {
  RopeConfig config = Plain();
  config.scaling = RopeScaling::kFactors;
  config.factor = 4;
  config.original_context = 64;
  config.short_factors = {1, 1, 1, 1};
  config.long_factors = {2, 2, 2, 2};
  EXPECT_FLOAT_EQ(MakeRopeFrequencies(config, 64).frequencies[1], 0.1f);
  EXPECT_FLOAT_EQ(MakeRopeFrequencies(config, 65).frequencies[1], 0.05f);
  EXPECT_FLOAT_EQ(MakeRopeFrequencies(config, 65).magnitude,
                  static_cast<float>(std::sqrt(1 + std::log(4.0) / std::log(64.0))));
}

}  // namespace
}  // namespace quire

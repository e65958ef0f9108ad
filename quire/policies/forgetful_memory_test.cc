#include "quire/policies/forgetful_memory.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>

namespace quire {
namespace {

constexpr std::array<float, 3> kSpans = {2, 30, 400};
constexpr std::array<float, 2> kAngles = {0, 0.7F};

std::vector<float> RandomNumbers(size_t count) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

TEST(ForgetfulMemory, PiecesGiveWhatStepsGive) {
  const ForgetfulMemory memory(3, kSpans, kAngles);
  for (const int steps : {1, 7, 1024}) {
    const std::vector<float> inputs = RandomNumbers(3 * steps);
    std::vector<float> state = RandomNumbers(memory.size());
    const std::vector<float> begin = state;
    std::vector<std::vector<float>> expected;
    for (int t = 0; t < steps; ++t) {
      memory.Step(std::span(inputs).subspan(3 * t, 3), state);
      expected.push_back(state);
    }
    for (const int pieces : {1, 2, 5, 64, 5000}) {
      std::vector<float> scanned = begin, states(steps * memory.size());
      memory.Scan(inputs, scanned, states, pieces);
      for (int t = 0; t < steps; ++t) {
        for (int i = 0; i < memory.size(); ++i) {
          ASSERT_NEAR(states[t * memory.size() + i], expected[t][i], 1e-5)
              << "step " << t << " of " << steps << ", " << pieces << " pieces";
        }
      }
      for (int i = 0; i < memory.size(); ++i) EXPECT_NEAR(scanned[i], state[i], 1e-5);
    }
  }
}

TEST(ForgetfulMemory, ForgetsAtTheRateOfEachTrace) {
  const ForgetfulMemory memory(1, kSpans, std::array<float, 1>{0});
  std::vector<float> state(memory.size());
  for (int t = 0; t < 10000; ++t) memory.Step(std::array{1.0F}, state);
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(state[i], 1, 1e-3);
  for (int t = 0; t < 30; ++t) memory.Step(std::array{0.0F}, state);
  EXPECT_LT(state[0], 1e-6);
  EXPECT_NEAR(state[1], std::exp(-1), 1e-3);
  EXPECT_NEAR(state[2], std::exp(-30.0 / 400), 1e-3);
}

}  // namespace
}  // namespace quire

// Tolerances, relative to double precision: 2e-6 for everything but softcap, where tanh is within 1e-6 of the
// cap.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "quire/kernels/kernels.h"
#include "quire/kernels/random_weights.h"

namespace quire {
namespace {

class Elementwise : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& kernels() const { return *GetParam(); }
};

constexpr int64_t kSizes[] = {1, 15, 16, 17, 64, 576, 1001};

void ExpectClose(float actual, double expected, const std::string& what) {
  EXPECT_NEAR(actual, expected, 2e-6 * std::abs(expected) + 1e-30) << what;
}

TEST_P(Elementwise, RmsNorm) {
  for (int64_t n : kSizes) {
    const std::vector<float> x = RandomFloats(n, 1, 3.0f), w = RandomFloats(n, 2);
    double squares = 0;
    for (float v : x) squares += static_cast<double>(v) * v;
    for (float offset : {0.0f, 1.0f}) {
      std::vector<float> y(n + 1, 42.0f);
      kernels().rms_norm(x.data(), w.data(), n, 1e-5f, offset, y.data());
      for (int64_t i = 0; i < n; ++i) {
        ExpectClose(y[i], x[i] / std::sqrt(squares / n + 1e-5) * (static_cast<double>(w[i] + offset)),
                    "rms_norm");
      }
      EXPECT_EQ(y[n], 42.0f);
    }
  }
}

TEST_P(Elementwise, AddAndScale) {
  for (int64_t n : kSizes) {
    const std::vector<float> a = RandomFloats(n, 1), b = RandomFloats(n, 2);
    std::vector<float> x = a;
    kernels().add(x.data(), b.data(), n);
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(x[i], a[i] + b[i]);
    kernels().scale(x.data(), 0.7f, n);
    for (int64_t i = 0; i < n; ++i) EXPECT_EQ(x[i], (a[i] + b[i]) * 0.7f);
  }
}

TEST_P(Elementwise, GatedActivations) {
  for (int64_t n : kSizes) {
    const std::vector<float> gate = RandomFloats(n, 3, 4.0f), up = RandomFloats(n, 4);
    std::vector<float> silu(n), gelu(n);
    kernels().silu_mul(gate.data(), up.data(), n, silu.data());
    kernels().gelu_tanh_mul(gate.data(), up.data(), n, gelu.data());
    for (int64_t i = 0; i < n; ++i) {
      const double g = gate[i];
      ExpectClose(silu[i], g / (1 + std::exp(-g)) * up[i], "silu of " + std::to_string(g));
      const double t = std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g);
      // 1 + tanh(t) cancels for negative t: written as 2 sigmoid(2t). The exponent's own rounding counts |t|
      // times.
      const double expected = g / (1 + std::exp(-2 * t)) * up[i];
      EXPECT_NEAR(gelu[i], expected, (2e-6 + 4e-7 * std::abs(t)) * std::abs(expected) + 1e-30)
          << "gelu of " << g;
    }
  }
}

TEST_P(Elementwise, ActivationsAtTheEnds) {
  const std::vector<float> gate = {-200.0f, -88.0f, 0.0f, 88.0f, 200.0f, INFINITY, NAN},
                           up(gate.size(), 1.0f);
  std::vector<float> y(gate.size());
  kernels().silu_mul(gate.data(), up.data(), 6, y.data());
  EXPECT_NEAR(y[0], 0, 1e-30);
  EXPECT_EQ(y[2], 0);
  EXPECT_EQ(y[4], 200.0f);
  EXPECT_EQ(y[5], INFINITY);
  kernels().silu_mul(gate.data() + 6, up.data(), 1, y.data());
  EXPECT_TRUE(std::isnan(y[0]));
}

TEST_P(Elementwise, Softcap) {
  std::vector<float> x = {0, 1e-6f, -0.3f, 18.74f, 18.76f, 30, -75, 1000, INFINITY, -INFINITY};
  const std::vector<float> before = x;
  kernels().softcap(x.data(), 30.0f, static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(x[i], 30.0 * std::tanh(before[i] / 30.0), 3e-6 * std::min(30.0f, std::abs(before[i])))
        << before[i];
  }
}

TEST_P(Elementwise, RopePairs) {
  constexpr int64_t kHeadDim = 80, kRotary = 72, kHalf = kRotary / 2;
  const std::vector<float> before = RandomFloats(kHeadDim, 5);
  std::vector<float> cos(kHalf), sin(kHalf);
  for (int64_t i = 0; i < kHalf; ++i) cos[i] = std::cos(0.1f * i), sin[i] = std::sin(0.1f * i);
  for (bool interleaved : {false, true}) {
    std::vector<float> head = before;
    kernels().rope(head.data(), cos.data(), sin.data(), kRotary, interleaved);
    for (int64_t i = 0; i < kHalf; ++i) {
      const int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + kHalf;
      EXPECT_NEAR(head[first], before[first] * cos[i] - before[second] * sin[i], 1e-6);
      EXPECT_NEAR(head[second], before[first] * sin[i] + before[second] * cos[i], 1e-6);
    }
    for (int64_t i = kRotary; i < kHeadDim; ++i) EXPECT_EQ(head[i], before[i]);
  }
}

TEST_P(Elementwise, LogSumExp) {
  for (int64_t n : {1, 16, 33, 4096, 50001}) {
    std::vector<float> x = RandomFloats(n, 6, 5.0f);
    if (n > 30) x[7] = x[29] = 30.0f;
    double sum = 0;
    for (float v : x) sum += std::exp(static_cast<double>(v));
    int64_t index = -1;
    EXPECT_NEAR(kernels().log_sum_exp(x.data(), n, &index), std::log(sum),
                3e-6 * std::abs(std::log(sum)) + 1e-6);
    EXPECT_EQ(index, n > 30 ? 7 : std::max_element(x.begin(), x.end()) - x.begin());
  }
  const std::vector<float> masked = {-INFINITY, 2.0f, -INFINITY};
  int64_t index = -1;
  EXPECT_EQ(kernels().log_sum_exp(masked.data(), 3, &index), 2.0f);
  EXPECT_EQ(index, 1);
  EXPECT_EQ(kernels().log_sum_exp(masked.data(), 1, nullptr), -INFINITY);
}

std::string NameOf(const testing::TestParamInfo<const KernelTable*>& info) {
  return std::string(info.param->name);
}
INSTANTIATE_TEST_SUITE_P(Isa, Elementwise, testing::ValuesIn(SupportedKernels()), NameOf);

}  // namespace
}  // namespace quire

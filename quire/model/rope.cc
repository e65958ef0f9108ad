#include "quire/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "quire/base/check.h"

namespace quire {
namespace {

// 0 at `low` and below, 1 at `high` and above.
double Ramp(double low, double high, double x) {
  if (low == high) high += 0.001;
  return std::clamp((x - low) / (high - low), 0.0, 1.0);
}

double Llama3Frequency(const RopeConfig& config, double frequency) {
  const double turns = config.original_context * frequency / (2 * std::numbers::pi);
  const double keep = std::clamp(
      (turns - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor), 0.0, 1.0);
  return (1 - keep) * frequency / config.factor + keep * frequency;
}

// The dimension pair that turns `turns` times over the original context.
double YarnPair(const RopeConfig& config, double turns) {
  return static_cast<double>(config.rotary_dim) *
         std::log(config.original_context / (turns * 2 * std::numbers::pi)) / (2 * std::log(config.base));
}

struct YarnRamp {
  double low, high;

  explicit YarnRamp(const RopeConfig& config)
      : low(YarnPair(config, config.beta_fast)), high(YarnPair(config, config.beta_slow)) {
    if (config.truncate_ramp) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, static_cast<double>(config.rotary_dim - 1));
  }
};

double Magnitude(const RopeConfig& config) {
  if (config.attention_factor > 0) return config.attention_factor;
  if (config.scaling == RopeScaling::kYarn) {
    return config.factor <= 1 ? 1.0 : 0.1 * std::log(config.factor) + 1.0;
  }
  if (config.scaling == RopeScaling::kFactors && config.original_context > 1 && config.factor > 1) {
    return std::sqrt(1 + std::log(config.factor) / std::log(config.original_context));
  }
  return 1.0;
}

}  // namespace

RopeFrequencies MakeRopeFrequencies(const RopeConfig& config, int64_t context_length) {
  const int64_t pairs = config.rotary_dim / 2;
  const bool beyond_original = static_cast<double>(context_length) > config.original_context;
  const std::vector<float>& factors = beyond_original ? config.long_factors : config.short_factors;
  if (config.scaling == RopeScaling::kFactors) QUIRE_CHECK(std::ssize(factors) == pairs);
  const YarnRamp yarn(config);

  RopeFrequencies rope;
  rope.magnitude = static_cast<float>(Magnitude(config));
  for (int64_t i = 0; i < pairs; ++i) {
    double frequency =
        std::pow(config.base, -2.0 * static_cast<double>(i) / static_cast<double>(config.rotary_dim));
    switch (config.scaling) {
      case RopeScaling::kNone:
        break;
      case RopeScaling::kLinear:
        frequency /= config.factor;
        break;
      case RopeScaling::kLlama3:
        frequency = Llama3Frequency(config, frequency);
        break;
      case RopeScaling::kYarn: {
        const double stretched = Ramp(yarn.low, yarn.high, static_cast<double>(i));
        frequency = frequency / config.factor * stretched + frequency * (1 - stretched);
        break;
      }
      case RopeScaling::kFactors:
        frequency /= factors[i];
        break;
    }
    rope.frequencies.push_back(static_cast<float>(frequency));
  }
  return rope;
}

void RopeFrequencies::Angles(int64_t position, float* cos, float* sin) const {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    // The product is rounded to float before the cosine: so do the references that models are trained with.
    const float angle = static_cast<float>(position) * frequencies[i];
    cos[i] = std::cos(angle) * magnitude;
    sin[i] = std::sin(angle) * magnitude;
  }
}

}  // namespace quire

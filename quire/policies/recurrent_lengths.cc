#include "quire/policies/recurrent_lengths.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace quire {
namespace {

constexpr std::array<float, 3> kSpans = {2, 16, 128};  // answers
constexpr std::array<float, 2> kAngles = {0, 0.5F};
constexpr int kOctaves = 20;    // of the prompt's length; between two, what they say is mixed
constexpr float kRate = 0.05F;  // of learning, normalised: 1 would believe the last answer alone
constexpr double kSpreadMemory = 0.99;
constexpr int64_t kEnough = 8;  // answers before it says anything
constexpr float kUsualLog = 5;  // what the memory sees of a length is its distance from this
constexpr float kUsualOctave = 9;

double LogOf(int64_t tokens) { return std::log(static_cast<double>(std::max<int64_t>(1, tokens))); }
float OctaveOf(int64_t tokens) {
  return std::min(static_cast<float>(std::log2(static_cast<double>(tokens) + 1)), kOctaves - 1.001F);
}
double NormalAbove(double z) { return 0.5 * std::erfc(z / std::sqrt(2.0)); }

// The mean of a log-normal length among those beyond n.
double MeanBeyond(double log_mean, double deviation, double n) {
  const double mean = std::exp(log_mean + deviation * deviation / 2);
  if (n < 1) return mean;
  const double z = (std::log(n) - log_mean) / deviation;
  if (z > 5) return n * (1 + deviation / (z - deviation / 2));  // so far out the ratio below is 0 / 0
  return mean * NormalAbove(z - deviation) / NormalAbove(z);
}

}  // namespace

RecurrentLengths::RecurrentLengths()
    : memory_(2, kSpans, kAngles), state_(memory_.size()), weights_(kOctaves + 1 + memory_.size()) {
  weights_[kOctaves] = kUsualLog;
}

std::vector<float> RecurrentLengths::Features(int64_t prompt_tokens) const {
  std::vector<float> features(kOctaves + 1);
  const float octave = OctaveOf(prompt_tokens);
  const auto below = static_cast<int>(octave);
  features[below + 1] = octave - static_cast<float>(below);
  features[below] = 1 - features[below + 1];
  features[kOctaves] = 1;
  features.insert(features.end(), state_.begin(), state_.end());
  return features;
}

double RecurrentLengths::LogLength(int64_t prompt_tokens) const {
  const std::vector<float> features = Features(prompt_tokens);
  return std::inner_product(features.begin(), features.end(), weights_.begin(), 0.0);
}

// Normalised least mean squares; then the memory takes the answer in.
void RecurrentLengths::Learn(const SequenceFacts& finished) {
  if (finished.output_tokens == 0) return;  // refused or cancelled before it began
  const int64_t prompt_tokens = std::ssize(finished.prompt);
  const std::vector<float> features = Features(prompt_tokens);
  const double log_length = LogOf(finished.output_tokens);
  const double missed = log_length - LogLength(prompt_tokens);
  const float norm = std::inner_product(features.begin(), features.end(), features.begin(), 0.5F);
  for (size_t i = 0; i < weights_.size(); ++i) {
    weights_[i] += kRate * static_cast<float>(missed) * features[i] / norm;
  }
  variance_ = kSpreadMemory * variance_ + (1 - kSpreadMemory) * missed * missed;
  const std::array<float, 2> input = {static_cast<float>(log_length) - kUsualLog,
                                      (OctaveOf(prompt_tokens) - kUsualOctave) / 3};
  memory_.Step(input, state_);
  ++learned_;
}

double RecurrentLengths::Remaining(const SequenceFacts& sequence) const {
  const auto output = static_cast<double>(sequence.output_tokens);
  const double most = std::max(0.0, static_cast<double>(sequence.max_output_tokens) - output);
  if (learned_ < kEnough) return most;
  const double deviation = std::sqrt(std::max(1e-4, variance_));
  const double length = MeanBeyond(LogLength(std::ssize(sequence.prompt)), deviation, output);
  return std::min(most, std::max(1.0, length - output));
}

}  // namespace quire

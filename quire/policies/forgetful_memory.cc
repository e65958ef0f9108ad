#include "quire/policies/forgetful_memory.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

#include "quire/base/check.h"

namespace quire {

ForgetfulMemory::ForgetfulMemory(int inputs, std::span<const float> spans, std::span<const float> angles)
    : inputs_(inputs) {
  for (int input = 0; input < inputs; ++input) {
    for (const float span : spans) {
      for (const float angle : angles) {
        const std::complex<float> factor = std::polar(std::exp(-1 / span), angle);
        source_.push_back(input);
        real_.push_back(factor.real());
        imag_.push_back(factor.imag());
        gain_.push_back(1 - std::abs(factor));
      }
    }
  }
  traces_ = static_cast<int>(source_.size());
}

void ForgetfulMemory::StepFrom(const float* input, const float* before, float* after) const {
  for (int i = 0; i < traces_; ++i) {
    const float re = before[i], im = before[traces_ + i];
    after[i] = real_[i] * re - imag_[i] * im + gain_[i] * input[source_[i]];
    after[traces_ + i] = imag_[i] * re + real_[i] * im;
  }
}

void ForgetfulMemory::Step(std::span<const float> input, std::span<float> state) const {
  StepFrom(input.data(), state.data(), state.data());
}

// Every piece is scanned from nothing; then what came before it is added, faded by the steps in between.
void ForgetfulMemory::Scan(std::span<const float> inputs, std::span<float> state, std::span<float> states,
                           int pieces) const {
  const auto steps = static_cast<int>(inputs.size() / inputs_);
  QUIRE_CHECK(pieces > 0 && std::ssize(states) == int64_t{steps} * size());
  if (steps == 0) return;
  const int piece_steps = (steps + pieces - 1) / pieces;
  const std::vector<float> nothing(size());
  for (int begin = 0; begin < steps; begin += piece_steps) {
    const float* before = nothing.data();
    for (int t = begin; t < std::min(steps, begin + piece_steps); ++t) {
      float* after = &states[int64_t{t} * size()];
      StepFrom(&inputs[int64_t{t} * inputs_], before, after);
      before = after;
    }
  }
  std::vector<float> carry(state.begin(), state.end());
  const std::vector<float> no_input(inputs_);
  for (int begin = 0; begin < steps; begin += piece_steps) {
    const int end = std::min(steps, begin + piece_steps);
    for (int t = begin; t < end; ++t) {
      StepFrom(no_input.data(), carry.data(), carry.data());
      float* after = &states[int64_t{t} * size()];
      for (int i = 0; i < size(); ++i) after[i] += carry[i];
    }
    std::copy_n(&states[int64_t{end - 1} * size()], size(), carry.begin());
  }
  std::ranges::copy(carry, state.begin());
}

}  // namespace quire

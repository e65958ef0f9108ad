// The recurrent predictor of answers' lengths: how long it trains on a stretch of 1,024 answers beside a GRU
// with as many numbers of state, and how far its predictions on a trace are off beside a moving average's.
//
//   recurrent_bench [TRACE.csv]        columns ContextTokens and GeneratedTokens, as of Azure's traces
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <random>
#include <vector>

#include "quire/policies/recurrent_lengths.h"
#include "quire/sim/trace_file.h"

namespace quire {
namespace {

constexpr int kLength = 1024, kInputs = 2, kState = 24, kRounds = 9;

struct Answer {
  int64_t prompt_tokens = 0, output_tokens = 0;
};

// A gated recurrent unit (Cho et al., 2014) with a linear readout, trained by backpropagation through time.
class Gru {
 public:
  Gru() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.2F);
    for (float& weight : weights_) weight = normal(random);
    for (float& weight : readout_) weight = normal(random);
  }

  // One pass over the stretch, forward and back, and a step down the gradient. Returns the mean squared
  // error.
  float Train(const std::vector<float>& inputs, const std::vector<float>& targets) {
    Forward(inputs);
    std::vector<float> gradient(weights_.size()), readout_gradient(kState), d_state(kState);
    float error = 0;
    for (int t = kLength - 1; t >= 0; --t) {
      float output = 0;
      for (int i = 0; i < kState; ++i) output += readout_[i] * state_[t + 1][i];
      const float missed = output - targets[t];
      error += missed * missed;
      for (int i = 0; i < kState; ++i) {
        readout_gradient[i] += missed * state_[t + 1][i];
        d_state[i] += missed * readout_[i];
      }
      Back(t, inputs, d_state, gradient);
    }
    for (size_t i = 0; i < weights_.size(); ++i) weights_[i] -= kRate * std::clamp(gradient[i], -1.0F, 1.0F);
    for (int i = 0; i < kState; ++i) readout_[i] -= kRate * std::clamp(readout_gradient[i], -1.0F, 1.0F);
    return error / kLength;
  }

 private:
  static constexpr int kWide = kInputs + kState;
  static constexpr float kRate = 1e-3F;
  enum Gate { kReset, kUpdate, kCandidate };

  float* Row(Gate gate, int i) { return &weights_[(gate * kState + i) * kWide]; }
  static float Sigmoid(float x) { return 1 / (1 + std::exp(-x)); }
  float Sum(Gate gate, int i, const float* input, const float* state) {
    const float* row = Row(gate, i);
    float sum = 0;
    for (int k = 0; k < kInputs; ++k) sum += row[k] * input[k];
    for (int k = 0; k < kState; ++k) sum += row[kInputs + k] * state[k];
    return sum;
  }

  void Forward(const std::vector<float>& inputs) {
    for (int t = 0; t < kLength; ++t) {
      const float* input = &inputs[t * kInputs];
      const auto& before = state_[t];
      for (int i = 0; i < kState; ++i) {
        gates_[kReset][t][i] = Sigmoid(Sum(kReset, i, input, before.data()));
        gates_[kUpdate][t][i] = Sigmoid(Sum(kUpdate, i, input, before.data()));
        kept_[t][i] = gates_[kReset][t][i] * before[i];
      }
      for (int i = 0; i < kState; ++i) {
        const float z = gates_[kUpdate][t][i];
        gates_[kCandidate][t][i] = std::tanh(Sum(kCandidate, i, input, kept_[t].data()));
        state_[t + 1][i] = (1 - z) * before[i] + z * gates_[kCandidate][t][i];
      }
    }
  }

  void AddGradient(Gate gate, int i, float d, const float* input, const float* state, float* d_state,
                   std::vector<float>& gradient) {
    const float* row = Row(gate, i);
    float* into = &gradient[(gate * kState + i) * kWide];
    for (int k = 0; k < kInputs; ++k) into[k] += d * input[k];
    for (int k = 0; k < kState; ++k) {
      into[kInputs + k] += d * state[k];
      d_state[k] += d * row[kInputs + k];
    }
  }

  // Takes the gradient of the state after step t, and leaves that of the state before it.
  void Back(int t, const std::vector<float>& inputs, std::vector<float>& d_state,
            std::vector<float>& gradient) {
    const float* input = &inputs[t * kInputs];
    const auto& before = state_[t];
    std::vector<float> d_before(kState), d_kept(kState);
    for (int i = 0; i < kState; ++i) {
      const float z = gates_[kUpdate][t][i], c = gates_[kCandidate][t][i];
      d_before[i] += d_state[i] * (1 - z);
      AddGradient(kCandidate, i, d_state[i] * z * (1 - c * c), input, kept_[t].data(), d_kept.data(),
                  gradient);
    }
    for (int i = 0; i < kState; ++i) {
      const float r = gates_[kReset][t][i], z = gates_[kUpdate][t][i];
      const float d_z = d_state[i] * (gates_[kCandidate][t][i] - before[i]), d_r = d_kept[i] * before[i];
      d_before[i] += d_kept[i] * r;
      AddGradient(kUpdate, i, d_z * z * (1 - z), input, before.data(), d_before.data(), gradient);
      AddGradient(kReset, i, d_r * r * (1 - r), input, before.data(), d_before.data(), gradient);
    }
    d_state = std::move(d_before);
  }

  using Rows = std::vector<std::array<float, kState>>;
  std::vector<float> weights_ = std::vector<float>(3 * kState * kWide);
  std::vector<float> readout_ = std::vector<float>(kState);
  Rows state_ = Rows(kLength + 1), kept_ = Rows(kLength);
  std::array<Rows, 3> gates_ = {Rows(kLength), Rows(kLength), Rows(kLength)};
};

std::vector<Answer> SyntheticAnswers(int count) {
  std::mt19937 random(2);
  std::vector<Answer> answers;
  for (int i = 0; i < count; ++i) {
    answers.push_back(
        {static_cast<int64_t>(10 + random() % 2000), static_cast<int64_t>(10 + random() % 400)});
  }
  return answers;
}

template <typename Function>
double Milliseconds(Function&& function) {
  std::vector<double> rounds;
  for (int i = 0; i < kRounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    function();
    rounds.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::sort(rounds);
  return rounds[kRounds / 2];
}

SequenceFacts FactsOf(const Answer& answer, const std::vector<Token>& text) {
  const auto prompt = std::min<size_t>(answer.prompt_tokens, text.size());
  return {.prompt = std::span(text).first(prompt), .output_tokens = answer.output_tokens};
}

void CompareTraining() {
  const std::vector<Token> text(1 << 16);
  const std::vector<Answer> answers = SyntheticAnswers(kLength);
  std::vector<float> inputs, targets;
  for (const Answer& answer : answers) {
    inputs.push_back(std::log(static_cast<float>(answer.output_tokens)) - 5);
    inputs.push_back(std::log2(static_cast<float>(answer.prompt_tokens)) / 3 - 3);
  }
  for (int i = 0; i < kLength; ++i) targets.push_back(inputs[(i + 1) % kLength * kInputs]);
  Gru gru;
  const float first = gru.Train(inputs, targets);
  float last = first;
  const double gru_ms = Milliseconds([&] { last = gru.Train(inputs, targets); });
  RecurrentLengths lengths;
  const double own_ms = Milliseconds([&] {
    for (const Answer& answer : answers) lengths.Learn(FactsOf(answer, text));
  });
  fmt::print(
      "training on {} answers: {:.3f} ms, a GRU of {} numbers {:.3f} ms (its error {:.3f} -> {:.3f})\n",
      kLength, own_ms, kState, gru_ms, first, last);
  fmt::print("training is {:.1f} times faster\n", gru_ms / own_ms);
}

// Every answer is predicted from those before it. Errors are means of |log(length) - prediction|.
void CompareErrors(const std::vector<TraceRequest>& trace) {
  constexpr size_t kWarmUp = 200;
  constexpr double kRates[] = {0.005, 0.01, 0.02, 0.05, 0.1, 0.2};
  const std::vector<Token> text(1 << 16);
  RecurrentLengths lengths;
  double own = 0, counted = 0;
  std::vector<double> averages(std::size(kRates), 5), errors(std::size(kRates));
  for (size_t i = 0; i < trace.size(); ++i) {
    const Answer answer{trace[i].prompt_tokens, trace[i].output_tokens};
    if (answer.output_tokens == 0) continue;
    const double log_length = std::log(static_cast<double>(answer.output_tokens));
    const bool counts = i >= kWarmUp;
    counted += counts;
    if (counts) own += std::abs(log_length - lengths.LogLength(answer.prompt_tokens));
    lengths.Learn(FactsOf(answer, text));
    for (size_t r = 0; r < std::size(kRates); ++r) {
      if (counts) errors[r] += std::abs(log_length - averages[r]);
      averages[r] += kRates[r] * (log_length - averages[r]);
    }
  }
  const size_t best = std::ranges::min_element(errors) - errors.begin();
  fmt::print("error on {:.0f} answers: {:.3f}, the best moving average (rate {}) {:.3f}\n", counted,
             own / counted, kRates[best], errors[best] / counted);
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  quire::CompareTraining();
  if (argc < 2) return 0;
  const auto trace = quire::ReadTrace(argv[1], 0);
  if (!trace) {
    fmt::print(stderr, "{}\n", trace.error().message);
    return 1;
  }
  quire::CompareErrors(*trace);
}

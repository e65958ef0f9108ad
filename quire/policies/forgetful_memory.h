// A memory of a stream of numbers that forgets: every input is kept in traces, each a running sum that fades
// and turns at its own rate. How fast is fixed, so there is nothing to learn inside, and any stretch of the
// stream can be taken in by pieces at once.
//
// Fast and Forgetful Memory (Morad et al., NeurIPS 2023, section 3): s(t) = exp(-a + i w) s(t - 1) + x(t),
// with the decays a and the angles w laid out over the spans that matter.
#ifndef QUIRE_POLICIES_FORGETFUL_MEMORY_H_
#define QUIRE_POLICIES_FORGETFUL_MEMORY_H_

#include <span>
#include <vector>

namespace quire {

class ForgetfulMemory {
 public:
  // `spans`: steps after which a trace has faded to 1/e; `angles`: radians that it turns a step. An input has
  // a trace for every pair.
  ForgetfulMemory(int inputs, std::span<const float> spans, std::span<const float> angles);

  int inputs() const { return inputs_; }
  // Numbers in a state: of every trace the real part, and behind them all the imaginary parts. They are
  // averages: a steady input of 1 has traces of length 1 where nothing turns.
  int size() const { return 2 * traces_; }

  void Step(std::span<const float> input, std::span<float> state) const;
  // Step for each of [steps, inputs], with the states after each of them in [steps, size]. The stretch is cut
  // into `pieces` that do not wait for each other until they are joined.
  void Scan(std::span<const float> inputs, std::span<float> state, std::span<float> states, int pieces) const;

 private:
  void StepFrom(const float* input, const float* before, float* after) const;

  const int inputs_;
  int traces_ = 0;
  std::vector<int> source_;                // by trace: its input
  std::vector<float> real_, imag_, gain_;  // by trace: what a step multiplies with, and what input counts
};

}  // namespace quire

#endif  // QUIRE_POLICIES_FORGETFUL_MEMORY_H_

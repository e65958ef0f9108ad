// Lengths of answers, predicted from the prompt's length and from what ended before: a forgetful memory of
// the lengths so far, and a linear readout that every answer corrects a little. What is predicted is the
// logarithm, with its spread, so that it is known what is left once n tokens are out.
#ifndef QUIRE_POLICIES_RECURRENT_LENGTHS_H_
#define QUIRE_POLICIES_RECURRENT_LENGTHS_H_

#include <cstdint>
#include <vector>

#include "quire/policies/forgetful_memory.h"
#include "quire/policies/length_predictor.h"

namespace quire {

class RecurrentLengths final : public LengthPredictor {
 public:
  RecurrentLengths();

  void Learn(const SequenceFacts& finished) override;
  double Remaining(const SequenceFacts& sequence) const override;
  // Of the answer to a prompt of so many tokens, the logarithm.
  double LogLength(int64_t prompt_tokens) const;

 private:
  std::vector<float> Features(int64_t prompt_tokens) const;

  const ForgetfulMemory memory_;
  std::vector<float> state_;
  std::vector<float> weights_;
  double variance_ = 1;  // of what the readout misses
  int64_t learned_ = 0;
};

}  // namespace quire

#endif  // QUIRE_POLICIES_RECURRENT_LENGTHS_H_

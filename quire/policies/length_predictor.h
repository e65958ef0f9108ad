// How many tokens a sequence will still put out, learned while serving from those that finished. The one that
// is here keeps a decaying histogram of lengths per tenant and prompt size, and one of all for whom too
// little is known; recurrent_lengths.h has another.
//
// The idea of predicting from similar requests is that of S^3 (Jin et al., NeurIPS 2023, 3.1) and ALISE (Zhao
// et al., 2024, 4.1); a histogram instead of a language model costs nothing, and knows what is left once n
// tokens are out.
#ifndef QUIRE_POLICIES_LENGTH_PREDICTOR_H_
#define QUIRE_POLICIES_LENGTH_PREDICTOR_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "quire/policies/scheduling.h"

namespace quire {

class LengthPredictor {
 public:
  virtual ~LengthPredictor() = default;
  // A sequence ended by itself or at its limit, with these facts.
  virtual void Learn(const SequenceFacts& finished) = 0;
  // The mean over those that got as far as this one; never more than its limit allows. Tokens.
  virtual double Remaining(const SequenceFacts& sequence) const = 0;
};

class LengthHistograms final : public LengthPredictor {
 public:
  void Learn(const SequenceFacts& finished) override;
  double Remaining(const SequenceFacts& sequence) const override;

 private:
  static constexpr int kBins = 40;  // half-octaves: the last one is a million tokens
  struct Histogram {
    std::array<double, kBins> weight{};
    double total = 0;

    void Add(int bin);
    // Mean length of those longer than `length`; negative where there are none.
    double MeanBeyond(double length) const;
  };
  using Kind = std::pair<std::string, int>;  // tenant, octave of the prompt's length

  static Kind KindOf(const SequenceFacts& sequence);
  static int BinOf(double length);
  static double LengthOf(int bin);

  std::map<Kind, Histogram> kinds_;
  Histogram all_;
};

}  // namespace quire

#endif  // QUIRE_POLICIES_LENGTH_PREDICTOR_H_

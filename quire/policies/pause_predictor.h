// How long tool calls take, learned while serving from the programs that came back: a decaying histogram of
// pauses per tool and tenant, per tool, and one of all for whom too little is known.
//
// Predicting a pause from earlier ones of the same tool is Continuum's (Li et al., 2025).
#ifndef QUIRE_POLICIES_PAUSE_PREDICTOR_H_
#define QUIRE_POLICIES_PAUSE_PREDICTOR_H_

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace quire {

// A distribution of pauses.
class Pauses {
 public:
  static constexpr int kBins = 64;  // half-octaves from a millisecond up
  // The pause that the bin stands for, in seconds: no pause in it is longer.
  static double EndOf(int bin);

  void Add(double pause_s, double weight = 1);
  double total() const { return total_; }
  // Of the pauses that are longer than `after_s`, how many are at most `within_s`; 1 where there are none.
  double ShareWithin(double within_s, double after_s = 0) const;
  // The mean of the shorter one of a pause and `most_s`.
  double MeanUpTo(double most_s) const;

 private:
  std::array<double, kBins> weight_{};
  double total_ = 0;
};

class PausePredictor {
 public:
  PausePredictor();
  void Learn(std::string_view tenant, std::string_view tool, double pause_s);
  // Those of the tool and the tenant, or of the nearest kind of which enough is known.
  const Pauses& Of(std::string_view tenant, std::string_view tool) const;

 private:
  using Kind = std::pair<std::string, std::string>;  // tool, tenant

  std::map<Kind, Pauses> kinds_;
  std::map<std::string, Pauses, std::less<>> tools_;
  Pauses all_;
};

}  // namespace quire

#endif  // QUIRE_POLICIES_PAUSE_PREDICTOR_H_

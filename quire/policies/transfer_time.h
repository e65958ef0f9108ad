// How long it takes to bring pages back from a tier, learned from the transfers that were made: a latency,
// and a time for every byte.
#ifndef QUIRE_POLICIES_TRANSFER_TIME_H_
#define QUIRE_POLICIES_TRANSFER_TIME_H_

#include <cstdint>

#include "quire/policies/linear_fit.h"

namespace quire {

class TransferTime {
 public:
  // So many bytes came, together, in so many seconds.
  void Learn(int64_t bytes, double seconds) { seconds_.Learn(FactsOf(bytes), seconds); }
  // Never negative; 0 before anything was learned.
  double Seconds(int64_t bytes) const { return seconds_.Predict(FactsOf(bytes)); }
  // 0 when it is not known.
  double BytesPerSecond() const {
    const double seconds = Seconds(kUsual) - Seconds(0);
    return seconds > 0 ? static_cast<double>(kUsual) / seconds : 0;
  }

 private:
  static constexpr int64_t kUsual = 4 << 20;

  using Fit = LinearFit<2>;
  static Fit::Facts FactsOf(int64_t bytes) {
    return {1, static_cast<double>(bytes) / static_cast<double>(kUsual)};
  }

  Fit seconds_;
};

}  // namespace quire

#endif  // QUIRE_POLICIES_TRANSFER_TIME_H_

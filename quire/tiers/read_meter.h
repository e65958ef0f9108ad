// Times reads of which many are under way at once: from the start of the first to the end of the last, as one
// transfer. The moments are those at which reads ended, not those at which the owner looked.
#ifndef QUIRE_TIERS_READ_METER_H_
#define QUIRE_TIERS_READ_METER_H_

#include <algorithm>
#include <cstdint>

#include "quire/base/clock.h"
#include "quire/policies/transfer_time.h"

namespace quire {

// One owner.
class ReadMeter {
 public:
  void Started(int64_t bytes) {
    if (under_way_++ == 0) begin_ = Clock::System().Now();
    bytes_ += bytes;
  }
  // In any order.
  void Ended(TimePoint when) {
    last_ = std::max(last_, when);
    if (--under_way_ > 0) return;
    time_.Learn(bytes_, Seconds(last_ - begin_));
    bytes_ = 0;
  }
  // Of a transfer that was made to learn.
  void Learn(int64_t bytes, double seconds) { time_.Learn(bytes, seconds); }
  const TransferTime& time() const { return time_; }

 private:
  TransferTime time_;
  TimePoint begin_{}, last_{};
  int64_t under_way_ = 0, bytes_ = 0;
};

}  // namespace quire

#endif  // QUIRE_TIERS_READ_METER_H_

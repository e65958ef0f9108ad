// Time as an interface, so that schedulers, queues and tests can run on a clock of their own.
#ifndef QUIRE_BASE_CLOCK_H_
#define QUIRE_BASE_CLOCK_H_

#include <chrono>

namespace quire {

// A point on a monotonic clock, in nanoseconds since an arbitrary start.
using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

inline double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;

  // The machine's monotonic clock. It has no state, so one object serves everybody.
  static const Clock& System();
};

// A clock that moves only when told to: for tests and the simulator.
class ManualClock final : public Clock {
 public:
  TimePoint Now() const override { return now_; }
  void Advance(Duration d) { now_ += d; }

 private:
  TimePoint now_{};
};

}  // namespace quire

#endif  // QUIRE_BASE_CLOCK_H_

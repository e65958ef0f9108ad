// A progress bar on standard error. It shows itself only on a terminal, and only once the work has taken a
// second.
#ifndef QUIRE_CLI_PROGRESS_H_
#define QUIRE_CLI_PROGRESS_H_

#include <mutex>
#include <string>

#include "quire/base/clock.h"

namespace quire {

class ProgressBar {
 public:
  explicit ProgressBar(std::string label, const Clock& clock = Clock::System());
  ~ProgressBar() { Finish(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Thread-safe. `share` of the work is done, in [0, 1]; `detail` stands behind it ("12 MiB/s").
  void Set(double share, const std::string& detail = "");
  // Removes the bar.
  void Finish();

 private:
  const std::string label_;
  const Clock& clock_;
  const bool terminal_;
  std::mutex mutex_;
  const TimePoint start_;
  TimePoint shown_at_;
  bool shown_ = false;
};

// "[#####.....]  42 % pulling x  12 MiB/s", cut to `width` columns.
std::string RenderProgress(const std::string& label, double share, const std::string& detail, int width);

}  // namespace quire

#endif  // QUIRE_CLI_PROGRESS_H_

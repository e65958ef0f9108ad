#include "quire/cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace quire {
namespace {

constexpr int kBarCells = 24;
constexpr auto kDelay = std::chrono::seconds(1);
constexpr auto kRefresh = std::chrono::milliseconds(100);

int TerminalWidth() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string RenderProgress(const std::string& label, double share, const std::string& detail, int width) {
  const double done = std::clamp(std::isfinite(share) ? share : 0.0, 0.0, 1.0);
  const int cells = static_cast<int>(done * kBarCells);
  std::string line =
      fmt::format("[{}{}] {:3.0f} % {}{}{}", std::string(cells, '#'), std::string(kBarCells - cells, '.'),
                  std::floor(done * 100), label, detail.empty() ? "" : "  ", detail);
  if (line.size() >= static_cast<size_t>(width)) line.resize(std::max(width - 1, 0));
  return line;
}

ProgressBar::ProgressBar(std::string label, const Clock& clock)
    : label_(std::move(label)),
      clock_(clock),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(clock.Now()),
      shown_at_(start_) {}

void ProgressBar::Set(double share, const std::string& detail) {
  if (!terminal_) return;
  const std::lock_guard lock(mutex_);
  const TimePoint now = clock_.Now();
  if (now - start_ < kDelay || now - shown_at_ < kRefresh) return;
  shown_at_ = now;
  shown_ = true;
  fmt::print(stderr, "\r\033[K{}", RenderProgress(label_, share, detail, TerminalWidth()));
  std::fflush(stderr);
}

void ProgressBar::Finish() {
  const std::lock_guard lock(mutex_);
  if (!shown_) return;
  shown_ = false;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace quire

#include "quire/server/http_metrics.h"

#include <array>

namespace quire {
namespace {

constexpr std::array kSeconds = {.005, .01, .025, .05, .1, .25, .5, 1., 2.5, 5., 10., 30., 60., 120., 300.};

}  // namespace

HttpMetrics::HttpMetrics()
    : connections_(registry_.AddGauge("quire:http_connections", "Open client connections.")),
      duration_(registry_.AddHistogram("quire:http_request_duration_seconds",
                                       "Time from a request's arrival to the end of its answer.", kSeconds)) {
}

void HttpMetrics::Count(const std::string& route, int status, Duration taken) {
  duration_.Observe(Seconds(taken));
  std::lock_guard lock(mutex_);
  Counter*& counter = requests_[{route, status}];
  if (!counter) {
    counter = &registry_.AddCounter("quire:http_requests", "Requests by route and status.",
                                    {{"handler", route}, {"status", std::to_string(status)}});
  }
  counter->Add();
}

}  // namespace quire

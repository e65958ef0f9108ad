// What the server counts of HTTP itself; the engine has its own metrics.
#ifndef QUIRE_SERVER_HTTP_METRICS_H_
#define QUIRE_SERVER_HTTP_METRICS_H_

#include <map>
#include <mutex>
#include <string>

#include "quire/base/clock.h"
#include "quire/base/metrics.h"

namespace quire {

class HttpMetrics {
 public:
  HttpMetrics();
  // Thread-safe. `route` is the pattern, so that clients cannot invent series.
  void Count(const std::string& route, int status, Duration taken);
  void SetConnections(int open) { connections_.Set(open); }
  std::string Render() const { return registry_.Render(); }

 private:
  MetricsRegistry registry_;
  Gauge& connections_;
  Histogram& duration_;
  std::mutex mutex_;  // guards requests_
  std::map<std::pair<std::string, int>, Counter*> requests_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_HTTP_METRICS_H_

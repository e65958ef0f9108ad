// What:   every pause in a tool call is pinned for the same time.
// Source: the static time to live that Continuum (Li et al., 2025) compares itself with.
// Facts:  none. Cost: none.
// Good:   tools that take about equally long, and that the operator knows.
// Loses:  too short, the pages are gone a moment before the program is back; too long, they are nobody's.
#include "quire/policies/retention.h"

namespace quire {
namespace {

class Fixed final : public RetentionPolicy {
 public:
  explicit Fixed(double ttl_s) : ttl_s_(ttl_s) {}
  double TimeToLive(const PauseFacts&) override { return ttl_s_; }

 private:
  const double ttl_s_;
};

constexpr PolicyParam kParams[] = {{"ttl_s", 5, 0.001, 86400, "seconds"}};

}  // namespace

extern const RetentionRow kFixedRetention{
    .name = "fixed",
    .summary = "every pause in a tool call is pinned for the same time",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<RetentionPolicy> {
      return std::make_unique<Fixed>(params["ttl_s"]);
    }};

}  // namespace quire

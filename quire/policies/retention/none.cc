// What:   nothing is pinned but what clients ask for.
// Source: how servers without Continuum treat a program in a tool call: as if it had ended.
// Facts:  none. Cost: none.
// Good:   no program ever pauses.
// Loses:  while a tool runs, others take the pages, and the program computes them again.
#include "quire/policies/retention.h"

namespace quire {
namespace {

class None final : public RetentionPolicy {
 public:
  double TimeToLive(const PauseFacts&) override { return 0; }
};

}  // namespace

extern const RetentionRow kNoRetention{
    .name = "none",
    .summary = "only what clients ask for is pinned",
    .params = {},
    .make = [](const PolicyParams&) -> std::unique_ptr<RetentionPolicy> { return std::make_unique<None>(); }};

}  // namespace quire

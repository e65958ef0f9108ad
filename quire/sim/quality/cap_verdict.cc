#include "quire/sim/quality/cap_verdict.h"

namespace quire {

std::string CapVerdict::Letters() const {
  return {context ? 'C' : '-', accuracy ? 'A' : '-', performance ? 'P' : '-'};
}

CapVerdict JudgeCap(const CapFigures& full, const CapFigures& figures) {
  constexpr double kMore = 1.05, kErrors = 2;
  return {.context = figures.tokens_per_gib >= kMore * full.tokens_per_gib,
          .accuracy = figures.nll_change + kErrors * figures.nll_error < 0 && figures.solved >= full.solved,
          .performance = full.speed_most > 0 && figures.speed_least > full.speed_most};
}

}  // namespace quire

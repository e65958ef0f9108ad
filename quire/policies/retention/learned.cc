// What:   pins a pause for as long as it pays: a time to live from past pauses of the same tool.
// Source: Continuum (Li et al., 2025): the chance of a return in time, times what it saves, against
//         the memory held meanwhile.
// Facts:  tenant, tool, recompute_s, pool_share, contended; of pins all. Cost: 64 candidates a pause, O(pins)
//         to choose who yields.
// Good:   agents whose tools are mostly quick beside work that waits for memory.
// Loses:  pauses that follow no pattern: a few are pinned in vain, or not pinned at all.
#include <algorithm>
#include <tuple>

#include "quire/policies/pause_predictor.h"
#include "quire/policies/retention.h"

namespace quire {
namespace {

class Learned final : public RetentionPolicy {
 public:
  Learned(double delay_cost, double most_s) : delay_cost_(delay_cost), most_s_(most_s) {}

  // Both sides in seconds of the machine: who holds a share of the memory slows everybody else down by that
  // share, as long as there is somebody.
  double TimeToLive(const PauseFacts& pause) override {
    const Pauses& pauses = predictor_.Of(pause.tenant, pause.tool);
    const double rate = pause.pool_share * (pause.contended ? 1 : kIdleCost);
    double best_s = 0, best_gain = 0;
    for (int bin = 0; bin < Pauses::kBins; ++bin) {
      const double ttl_s = Pauses::EndOf(bin);
      if (ttl_s > most_s_) break;
      const double gain =
          pauses.ShareWithin(ttl_s) * (pause.recompute_s * delay_cost_) - rate * pauses.MeanUpTo(ttl_s);
      if (gain > best_gain) std::tie(best_s, best_gain) = std::pair(ttl_s, gain);
    }
    return best_s;
  }

  void Returned(const PauseFacts& pause, double pause_s) override {
    predictor_.Learn(pause.tenant, pause.tool, pause_s);
  }

  // Predicted ones first, and of those the one whose pages are worth least: what a return in time would save,
  // times its chance.
  size_t Yields(std::span<const PinFacts> pins, double now_s) override {
    const auto key = [&](const PinFacts& pin) {
      if (pin.asked) return std::tuple(true, 0.0, pin.expiry_s);
      const Pauses& pauses = predictor_.Of(pin.owner, pin.tool);
      const double chance = pauses.ShareWithin(pin.expiry_s - pin.begin_s, now_s - pin.begin_s);
      return std::tuple(false,
                        chance * pin.recompute_s / static_cast<double>(std::max<int64_t>(1, pin.pages)),
                        pin.expiry_s);
    };
    return std::ranges::min_element(pins, {}, key) - pins.begin();
  }

 private:
  // Nobody waits now; somebody may before the time is up.
  static constexpr double kIdleCost = 0.1;

  const double delay_cost_, most_s_;
  PausePredictor predictor_;
};

constexpr PolicyParam kParams[] = {
    {"delay_cost", 1, 0.01, 100, "what a second of a program's delay costs in seconds of the machine"},
    {"most_s", 300, 0.001, 86400, "seconds that a pin lasts at most"},
};

}  // namespace

extern const RetentionRow kLearnedRetention{
    .name = "learned",
    .summary = "a pause in a tool call is pinned for as long as past pauses say that it pays",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<RetentionPolicy> {
      return std::make_unique<Learned>(params["delay_cost"], params["most_s"]);
    }};

}  // namespace quire

#include "quire/policies/pause_predictor.h"

#include <algorithm>
#include <cmath>

namespace quire {
namespace {

constexpr double kDecay = 0.99;         // per pause: about the last hundred count
constexpr double kEnough = 6;           // pauses that a kind must have seen to be believed
constexpr size_t kMostKinds = 1 << 14;  // tools and tenants are named by strangers
constexpr double kShortest_s = 1e-3;

int BinOf(double pause_s) {
  return std::clamp(static_cast<int>(std::ceil(2 * std::log2(std::max(pause_s, kShortest_s) / kShortest_s))),
                    0, Pauses::kBins - 1);
}

}  // namespace

double Pauses::EndOf(int bin) { return kShortest_s * std::exp2(bin / 2.0); }

void Pauses::Add(double pause_s, double weight) {
  for (double& w : weight_) w *= kDecay;
  weight_[BinOf(pause_s)] += weight;
  total_ = total_ * kDecay + weight;
}

double Pauses::ShareWithin(double within_s, double after_s) const {
  double within = 0, all = 0;
  for (int bin = 0; bin < kBins; ++bin) {
    if (EndOf(bin) <= after_s) continue;
    all += weight_[bin];
    if (EndOf(bin) <= within_s) within += weight_[bin];
  }
  return all > 0 ? within / all : 1;
}

double Pauses::MeanUpTo(double most_s) const {
  double sum = 0;
  for (int bin = 0; bin < kBins; ++bin) sum += weight_[bin] * std::min(most_s, EndOf(bin));
  return total_ > 0 ? sum / total_ : 0;
}

// Before anything is learned: from a tenth of a second to ten seconds, all equally likely on a logarithmic
// scale.
PausePredictor::PausePredictor() {
  for (double pause_s = 0.1; pause_s <= 10; pause_s *= std::exp2(0.5)) all_.Add(pause_s, 0.5);
}

void PausePredictor::Learn(std::string_view tenant, std::string_view tool, double pause_s) {
  all_.Add(pause_s);
  if (kinds_.size() >= kMostKinds) kinds_.clear();
  if (tools_.size() >= kMostKinds) tools_.clear();
  kinds_[Kind(tool, tenant)].Add(pause_s);
  tools_[std::string(tool)].Add(pause_s);
}

const Pauses& PausePredictor::Of(std::string_view tenant, std::string_view tool) const {
  const auto kind = kinds_.find(Kind(tool, tenant));
  if (kind != kinds_.end() && kind->second.total() >= kEnough) return kind->second;
  const auto any_tenant = tools_.find(tool);
  if (any_tenant != tools_.end() && any_tenant->second.total() >= kEnough) return any_tenant->second;
  return all_;
}

}  // namespace quire

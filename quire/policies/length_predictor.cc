#include "quire/policies/length_predictor.h"

#include <algorithm>
#include <cmath>

namespace quire {
namespace {

constexpr double kDecay = 0.995;        // per sequence: about the last 200 count
constexpr double kEnough = 8;           // sequences that a kind must have seen to be believed
constexpr size_t kMostKinds = 1 << 16;  // tenants are named by strangers

}  // namespace

LengthHistograms::Kind LengthHistograms::KindOf(const SequenceFacts& sequence) {
  const auto length = static_cast<double>(sequence.prompt.size() + 1);
  return {std::string(sequence.tenant), static_cast<int>(std::log2(length))};
}

int LengthHistograms::BinOf(double length) {
  return std::clamp(static_cast<int>(std::lround(2 * std::log2(std::max(1.0, length)))), 0, kBins - 1);
}

double LengthHistograms::LengthOf(int bin) { return std::exp2(bin / 2.0); }

void LengthHistograms::Histogram::Add(int bin) {
  for (double& w : weight) w *= kDecay;
  weight[bin] += 1;
  total = total * kDecay + 1;
}

double LengthHistograms::Histogram::MeanBeyond(double length) const {
  double sum = 0, mass = 0;
  for (int bin = 0; bin < kBins; ++bin) {
    if (LengthOf(bin) <= length) continue;
    sum += weight[bin] * LengthOf(bin);
    mass += weight[bin];
  }
  return mass > 0 ? sum / mass : -1;
}

void LengthHistograms::Learn(const SequenceFacts& finished) {
  if (finished.output_tokens == 0) return;  // refused or cancelled before it began
  const int bin = BinOf(static_cast<double>(finished.output_tokens));
  all_.Add(bin);
  if (kinds_.size() >= kMostKinds) kinds_.clear();
  kinds_[KindOf(finished)].Add(bin);
}

double LengthHistograms::Remaining(const SequenceFacts& sequence) const {
  const auto output = static_cast<double>(sequence.output_tokens);
  const double most = std::max(0.0, static_cast<double>(sequence.max_output_tokens) - output);
  const auto kind = kinds_.find(KindOf(sequence));
  double length = -1;
  if (kind != kinds_.end() && kind->second.total >= kEnough) length = kind->second.MeanBeyond(output);
  if (length < 0) length = all_.MeanBeyond(output);
  return length < 0 ? most : std::min(most, length - output);
}

}  // namespace quire

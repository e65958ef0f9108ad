// Rotary position embedding: from a model's settings to the frequency of each rotated pair of dimensions, and
// from a position to its cosines and sines.
#ifndef QUIRE_MODEL_ROPE_H_
#define QUIRE_MODEL_ROPE_H_

#include <cstdint>
#include <vector>

#include "quire/base/result.h"

namespace quire {

// How a model stretches its rotation to contexts longer than it was first trained for.
enum class RopeScaling {
  kNone,
  kLinear,   // every frequency divided by `factor`
  kLlama3,   // low frequencies divided by `factor`, high ones kept, a ramp between
  kYarn,     // the ramp of YaRN (Peng et al. 2023), and larger magnitudes
  kFactors,  // frequencies divided by a list: long_factors beyond the original context, else short_factors
};

struct RopeConfig {
  double base = 10000;
  int64_t rotary_dim = 0;    // leading dimensions of a head that rotate; even
  bool interleaved = false;  // pairs (2i, 2i + 1) instead of (i, i + rotary_dim / 2)

  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;            // how many times longer the context became
  double original_context = 0;  // kLlama3, kYarn, kFactors
  double low_freq_factor = 1, high_freq_factor = 4;
  double beta_fast = 32, beta_slow = 1;
  bool truncate_ramp = true;                       // kYarn: the ramp begins and ends at whole dimensions
  double attention_factor = 0;                     // magnitude of cosines and sines; 0: the scaling's own
  std::vector<float> short_factors, long_factors;  // rotary_dim / 2 each
};

struct RopeFrequencies {
  std::vector<float> frequencies;  // rotary_dim / 2, radians per position
  float magnitude = 1;

  int64_t pairs() const { return static_cast<int64_t>(frequencies.size()); }
  // Writes pairs() cosines and sines.
  void Angles(int64_t position, float* cos, float* sin) const;
};

// `context_length` is the longest sequence that will be served: kFactors chooses its list by it, once, so
// that a token's rotation depends on its position alone. REQUIRES: lists of factors have rotary_dim / 2
// entries.
RopeFrequencies MakeRopeFrequencies(const RopeConfig& config, int64_t context_length);

}  // namespace quire

#endif  // QUIRE_MODEL_ROPE_H_

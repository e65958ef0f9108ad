// Random numbers that are the same on every machine: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014, fig.
// 17).
#ifndef QUIRE_BASE_SPLIT_MIX_H_
#define QUIRE_BASE_SPLIT_MIX_H_

#include <cstdint>

namespace quire {

inline constexpr uint64_t kSplitMixStep = 0x9E3779B97F4A7C15;

// Every bit of the result depends on every bit of x; 0 stays 0.
inline uint64_t MixBits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// The number that the generator in state x gives; its next state is x + kSplitMixStep.
inline uint64_t SplitMix(uint64_t x) { return MixBits(x + kSplitMixStep); }

// The upper bits of x as a number in [0, 1).
inline double UnitInterval(uint64_t x) { return static_cast<double>(x >> 11) * 0x1p-53; }

}  // namespace quire

#endif  // QUIRE_BASE_SPLIT_MIX_H_

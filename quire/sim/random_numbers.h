// Random numbers of loads: the same on every machine, unlike <random>, whose distributions differ between
// libraries.
#ifndef QUIRE_SIM_RANDOM_NUMBERS_H_
#define QUIRE_SIM_RANDOM_NUMBERS_H_

#include <cstdint>

#include "quire/base/split_mix.h"
#include "quire/base/token.h"

namespace quire {

class RandomNumbers {
 public:
  explicit RandomNumbers(uint64_t seed) : state_(seed) {}

  uint64_t Next() { return MixBits(state_ += kSplitMixStep); }
  double Uniform() { return UnitInterval(Next()); }
  Token Id(int vocab) { return static_cast<Token>(Next() % static_cast<uint64_t>(vocab)); }
  double Normal();
  // Of mean 1 and the given coefficient of variation; 1 is exponential. REQUIRES: cv > 0.
  double Gamma(double cv);

 private:
  uint64_t state_;
};

}  // namespace quire

#endif  // QUIRE_SIM_RANDOM_NUMBERS_H_

#include "quire/sim/random_numbers.h"

#include <cmath>

namespace quire {

double RandomNumbers::Normal() {
  constexpr double kTwoPi = 6.283185307179586;
  return std::sqrt(-2 * std::log(1 - Uniform())) * std::cos(kTwoPi * Uniform());
}

// Marsaglia and Tsang's method (2000), boosted below shape 1.
double RandomNumbers::Gamma(double cv) {
  const double shape = 1 / (cv * cv);
  const double boost = shape < 1 ? std::pow(1 - Uniform(), 1 / shape) : 1;
  const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = Normal(), v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(1 - Uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) {
      return d * v * boost / shape;
    }
  }
}

}  // namespace quire

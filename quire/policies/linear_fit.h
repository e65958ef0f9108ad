// A quantity as a sum of facts, each at a price that is never negative, learned from what was seen: least
// squares that forget. What costs time costs no negative time: a negative price would be noise.
#ifndef QUIRE_POLICIES_LINEAR_FIT_H_
#define QUIRE_POLICIES_LINEAR_FIT_H_

#include <algorithm>
#include <array>

namespace quire {

// `N` facts, which are best scaled so that usual ones are about one: then they weigh alike.
template <int N>
class LinearFit {
 public:
  using Facts = std::array<double, N>;

  void Learn(const Facts& facts, double quantity) {
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) products_[i][j] = kMemory * products_[i][j] + facts[i] * facts[j];
      moments_[i] = kMemory * moments_[i] + facts[i] * quantity;
    }
    Fit();
  }
  // 0 before anything was learned.
  double Predict(const Facts& facts) const {
    double sum = 0;
    for (int i = 0; i < N; ++i) sum += facts[i] * prices_[i];
    return sum;
  }

 private:
  static constexpr double kMemory = 0.96;  // weight of a case once the next one is learned: about 25 count
  static constexpr int kSweeps = 50;       // each is N * N multiplications

  // By coordinate descent from the prices so far, which stay where recent cases do not tell them apart.
  void Fit() {
    for (int sweep = 0; sweep < kSweeps; ++sweep) {
      for (int i = 0; i < N; ++i) {
        if (products_[i][i] == 0) continue;
        double unexplained = moments_[i];
        for (int j = 0; j < N; ++j) {
          if (j != i) unexplained -= products_[i][j] * prices_[j];
        }
        prices_[i] = std::max(0.0, unexplained / products_[i][i]);
      }
    }
  }

  std::array<Facts, N> products_{};  // decayed sums of facts times facts,
  Facts moments_{};                  // and of facts times the quantity
  Facts prices_{};
};

}  // namespace quire

#endif  // QUIRE_POLICIES_LINEAR_FIT_H_

#include "quire/cli/machine_speed.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/clock.h"
#include "quire/kernels/random_weights.h"

namespace quire {
namespace {

constexpr size_t kReadBytes = size_t{256} << 20;
constexpr double kSecondsEach = 0.4;
constexpr int64_t kRows = 64;
constexpr int64_t kCols = 1024;
constexpr int64_t kPanels = 64;

// Seconds of the fastest of several calls: others on the machine only ever slow it down.
double Fastest(const std::function<void()>& call) {
  double fastest = 1e9, total = 0;
  for (int i = 0; i < 3 || (total < kSecondsEach && i < 1000); ++i) {
    const TimePoint start = Clock::System().Now();
    call();
    const double seconds = Seconds(Clock::System().Now() - start);
    fastest = std::min(fastest, seconds);
    total += seconds;
  }
  return fastest;
}

}  // namespace

double ReadBandwidth(ThreadPool& pool) {
  const auto buffer = AlignedBuffer::Allocate(kReadBytes);
  if (!buffer) return 0;
  auto* words = buffer->as<uint64_t>();
  const int64_t count = kReadBytes / sizeof(uint64_t);
  std::fill_n(words, count, 1);
  std::atomic<uint64_t> total = 0;
  const double seconds = Fastest([&] {
    pool.ParallelFor(count, 1 << 16, [&](int64_t begin, int64_t end, int) {
      uint64_t sums[8] = {};
      for (int64_t i = begin; i < end; i += 8) {
        for (int k = 0; k < 8; ++k) sums[k] += words[i + k];
      }
      for (const uint64_t sum : sums) total.fetch_add(sum, std::memory_order_relaxed);
    });
  });
  return static_cast<double>(kReadBytes) / seconds;
}

double MatmulSpeed(const KernelTable& kernels, ThreadPool& pool, DType type) {
  const std::vector<std::byte> source = RandomWeights(type, kPanels * kPanelRows, kCols, 1);
  const auto packed = AlignedBuffer::Allocate(PanelBytes(type, kCols) * kPanels);
  if (!packed) return 0;
  const PackedMatrix weights{type, kPanels * kPanelRows, kCols, packed->data()};
  kernels.pack(type, source.data(), weights.rows, kCols, 0, kPanels, packed->data());

  const std::vector<float> x = RandomFloats(kRows * kCols, 2);
  std::vector<int8_t> values(x.size());
  std::vector<float> scales(x.size() / kActivationGroup);
  std::vector<int32_t> sums(x.size() / 16);
  const QuantizedActivations quantized{kRows, kCols, values.data(), scales.data(), sums.data()};
  for (int64_t row = 0; row < kRows; ++row) kernels.quantize_row(x.data(), row, quantized);

  std::vector<float> y(static_cast<size_t>(kRows * weights.rows));
  const double seconds = Fastest([&] {
    pool.ParallelFor(kPanels, 4, [&](int64_t begin, int64_t end, int) {
      if (IsQuantized(type)) {
        kernels.matmul_q8(weights, begin, end, quantized, y.data(), weights.rows);
      } else {
        kernels.matmul_f32(weights, begin, end, x.data(), kCols, kRows, y.data(), weights.rows);
      }
    });
  });
  return 2.0 * kRows * static_cast<double>(weights.rows) * kCols / seconds;
}

}  // namespace quire

#include "quire/cli/machine_speed.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/clock.h"
#include "quire/engine/memory_budget.h"
#include "quire/kernels/random_weights.h"

namespace quire {
namespace {

// As scales, halves of it are 1.06 and floats 0.01: any type of weights can be read from it.
constexpr int kArenaByte = 0x3C;
constexpr double kReadBudgetS = 0.2;
constexpr double kPointBudgetS = 0.02;
constexpr int64_t kCols = 1024;
constexpr int64_t kRowCounts[] = {1, 2, 4, 8, 16, 32, 64, 128};

struct TestActivations {
  std::vector<float> floats;
  std::vector<int8_t> values;
  std::vector<float> scales;
  std::vector<int32_t> sums;

  TestActivations(const KernelTable& kernels, int64_t rows)
      : floats(RandomFloats(rows * kCols, 1)),
        values(floats.size()),
        scales(floats.size() / kActivationGroup),
        sums(floats.size() / 16) {
    for (int64_t row = 0; row < rows; ++row) kernels.quantize_row(floats.data(), row, View(rows));
  }
  QuantizedActivations View(int64_t rows) { return {rows, kCols, values.data(), scales.data(), sums.data()}; }
};

// As linear.h chooses the entry.
void Multiply(const KernelTable& kernels, const PackedMatrix& w, int64_t begin, int64_t end,
              TestActivations& x, int64_t rows, float* y, int64_t y_stride) {
  if (IsQuantized(w.type)) {
    kernels.matmul_q8(w, begin, end, x.View(rows), y, y_stride);
  } else {
    const auto matmul = w.type == DType::kBF16 ? kernels.matmul_bf16 : kernels.matmul_f32;
    matmul(w, begin, end, x.floats.data(), kCols, rows, y, y_stride);
  }
}

double ReadSeconds(ThreadPool& pool, std::span<const std::byte> bytes, double budget_s) {
  const auto* words = reinterpret_cast<const uint64_t*>(bytes.data());
  const int64_t count = static_cast<int64_t>(bytes.size() / sizeof(uint64_t));
  const int64_t piece = std::clamp<int64_t>(count / (4 * pool.threads()) / 8 * 8, 1 << 10, 1 << 16);
  std::atomic<uint64_t> total = 0;
  return FastestSeconds(budget_s, [&] {
    pool.ParallelFor(count, piece, [&](int64_t begin, int64_t end, int) {
      uint64_t sums[8] = {};
      for (int64_t i = begin; i < end; i += 8) {
        for (int k = 0; k < 8; ++k) sums[k] += words[i + k];
      }
      for (const uint64_t sum : sums) total.fetch_add(sum, std::memory_order_relaxed);
    });
  });
}

// Per weight, on all threads: each multiplies a panel of its own again and again.
double ProductSeconds(const SpeedBench& bench, DType type, int64_t rows, TestActivations& x) {
  const int64_t threads = bench.pool.threads();
  const PackedMatrix w{type, threads * kPanelRows, kCols, bench.arena.data()};
  std::vector<float> y(static_cast<size_t>(rows * w.rows));
  const int64_t again = std::max<int64_t>(1, 64 / rows);
  const double seconds = FastestSeconds(kPointBudgetS, [&] {
    bench.pool.Run(threads, [&](int64_t task, int) {
      for (int64_t i = 0; i < again; ++i) {
        Multiply(bench.kernels, w, task, task + 1, x, rows, y.data(), w.rows);
      }
    });
  });
  return (seconds - bench.profile.region_s) / static_cast<double>(again * w.rows * kCols);
}

// Bytes per second of packed weights beyond the caches, multiplied with one row.
double StreamSpeed(const SpeedBench& bench, DType type, TestActivations& x) {
  const size_t panel_bytes = PanelBytes(type, kCols);
  const auto panels = static_cast<int64_t>(bench.arena.size() / panel_bytes);
  const PackedMatrix w{type, panels * kPanelRows, kCols, bench.arena.data()};
  std::vector<float> y(static_cast<size_t>(w.rows));
  constexpr int64_t kPiece = 32;
  const double seconds = FastestSeconds(0, [&] {
    bench.pool.ParallelFor(panels, kPiece, [&](int64_t begin, int64_t end, int) {
      Multiply(bench.kernels, w, begin, end, x, 1, y.data(), w.rows);
    });
  });
  return static_cast<double>(panels) * static_cast<double>(panel_bytes) / seconds;
}

}  // namespace

size_t BeyondCachesBytes() {
  constexpr long kLeast = 128L << 20, kMost = 512L << 20;
  return 2 * std::bit_ceil(static_cast<size_t>(std::clamp(sysconf(_SC_LEVEL3_CACHE_SIZE), kLeast, kMost)));
}

double FastestSeconds(double budget_s, const std::function<void()>& call) {
  double fastest = 1e9, total = 0;
  for (int i = 0; i < 3 || (total < budget_s && i < 1000); ++i) {
    const TimePoint start = Clock::System().Now();
    call();
    const double seconds = Seconds(Clock::System().Now() - start);
    fastest = std::min(fastest, seconds);
    total += seconds;
  }
  return fastest;
}

void SpeedBench::MeasureReading() {
  ThreadPool one(1);
  profile.read_one = static_cast<double>(arena.size()) / ReadSeconds(one, arena, kReadBudgetS);
  std::vector<std::pair<double, double>> points;
  for (size_t bytes = size_t{1} << 20; bytes <= arena.size(); bytes *= 2) {
    const double seconds = ReadSeconds(pool, arena.first(bytes), kReadBudgetS);
    points.emplace_back(bytes, static_cast<double>(bytes) / seconds);
  }
  profile.read = Curve(std::move(points));
  std::byte* half = arena.data() + arena.size() / 2;
  profile.copy_bytes_per_s = static_cast<double>(arena.size() / 2) / FastestSeconds(kReadBudgetS, [&] {
                               std::memcpy(half, arena.data(), arena.size() / 2);
                             });
}

void SpeedBench::MeasureProducts(const std::function<void(double)>& progress) {
  constexpr int kRegions = 200;
  profile.region_s = FastestSeconds(kPointBudgetS,
                                    [&] {
                                      for (int i = 0; i < kRegions; ++i)
                                        pool.Run(2 * pool.threads(), [](int64_t, int) {});
                                    }) /
                     kRegions;
  TestActivations x(kernels, kRowCounts[std::size(kRowCounts) - 1]);
  for (int i = 0; i < kWeightTypeCount; ++i) {
    const auto type = static_cast<DType>(i);
    std::vector<std::pair<double, double>> points;
    for (const int64_t rows : kRowCounts) points.emplace_back(rows, ProductSeconds(*this, type, rows, x));
    const double efficiency =
        StreamSpeed(*this, type, x) / profile.ReadSpeed(static_cast<double>(arena.size()));
    profile.products[type] = {Curve(std::move(points)), std::min(1.0, efficiency)};
    progress(static_cast<double>(i + 1) / kWeightTypeCount);
  }
}

Result<MachineProfile> MeasureMachine(const KernelTable& kernels, ThreadPool& pool,
                                      const std::function<void(double)>& progress) {
  QUIRE_ASSIGN(const AlignedBuffer buffer, AlignedBuffer::Allocate(BeyondCachesBytes()));
  std::memset(buffer.data(), kArenaByte, buffer.bytes());
  MachineProfile profile;
  profile.kernels = kernels.name;
  profile.threads = pool.threads();
  profile.memory_bytes = AvailableMemoryBytes();
  SpeedBench bench{kernels, pool, {buffer.data(), buffer.bytes()}, profile};
  bench.MeasureReading();
  progress(0.3);
  bench.MeasureProducts([&](double share) { progress(0.3 + 0.4 * share); });
  bench.MeasureElements();
  bench.MeasureAttention([&](double share) { progress(0.7 + 0.3 * share); });
  return profile;
}

}  // namespace quire

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
#include "quire/model/linear.h"

namespace quire {
namespace {

// As scales, halves of it are 1.06 and floats 0.01: any type of weights can be read from it.
constexpr int kArenaByte = 0x3C;
constexpr double kReadBudgetS = 0.2;
constexpr double kPointBudgetS = 0.02;
constexpr int64_t kStreamPieceBytes = 128 << 10, kStreamBytes = 16 << 20;
// What a product costs per weight and per output is told apart by two lengths of rows.
constexpr int64_t kFewCols = 512, kCols = 2048;
constexpr double kLeastSeconds = 1e-15, kLeastExposed = 0.001;  // what noise would make less
constexpr int64_t kRowCounts[] = {1, 2, 4, 8, 16, 32, 64, 128};

// `rows` of the rows of x.
void Multiply(const KernelTable& kernels, const PackedMatrix& w, int64_t begin, int64_t end,
              ActivationForms& x, int64_t rows, float* y, int64_t y_stride) {
  const Linear linear{.matrix = w, .form = FormFor(w.type, /*exact=*/false, kernels)};
  const Activations input{
      .rows = rows, .cols = w.cols, .values = x.floats().data(), .int8 = x.int8(), .bfloat = x.bfloat()};
  MultiplyPanels(kernels, {&linear, linear.form, y, y_stride}, input.Shaped(rows, w.cols), begin, end);
}

// Bytes per second on all threads of the pool.
double ReadSpeed(ThreadPool& pool, std::span<const std::byte> bytes) {
  constexpr int64_t kPieceWords = 1 << 15;
  const auto* words = reinterpret_cast<const uint64_t*>(bytes.data());
  const auto pieces = static_cast<int64_t>(bytes.size() / sizeof(uint64_t)) / kPieceWords;
  std::atomic<uint64_t> total = 0;
  constexpr int64_t kAhead = 256;  // words: as the kernels do
  const double seconds = SecondsPerPiece(pool, pieces, kReadBudgetS, [&](int64_t piece, int) {
    uint64_t sums[8] = {};
    for (int64_t i = piece * kPieceWords; i < (piece + 1) * kPieceWords; i += 8) {
      __builtin_prefetch(words + i + kAhead);
      for (int k = 0; k < 8; ++k) sums[k] += words[i + k];
    }
    for (const uint64_t sum : sums) total.fetch_add(sum, std::memory_order_relaxed);
  });
  return pool.threads() * kPieceWords * sizeof(uint64_t) / seconds;
}

// Per output, on all threads: each multiplies some panels of its own again and again.
double ProductSeconds(const SpeedBench& bench, DType type, int64_t cols, int64_t rows, ActivationForms& x) {
  constexpr int64_t kPanels = 8, kAgain = 8;
  const int threads = bench.pool.threads();
  const PackedMatrix w{type, threads * kPanels * kPanelRows, cols, bench.arena.data()};
  std::vector<float> y(static_cast<size_t>(rows * w.rows));
  const double seconds =
      SecondsPerPiece(bench.pool, threads * kAgain, kPointBudgetS, [&](int64_t, int worker) {
        const int64_t begin = worker * kPanels;
        Multiply(bench.kernels, w, begin, begin + kPanels, x, rows, y.data(), w.rows);
      });
  return seconds / static_cast<double>(threads * kPanels * kPanelRows);
}

// Per weight, on all threads, of weights that lie in the `portion`-th eighth of the arena: beyond the caches
// when the others were read since.
double StreamSeconds(const SpeedBench& bench, DType type, size_t portion, int64_t rows, ActivationForms& x) {
  constexpr size_t kPortions = std::size(kRowCounts);
  const auto panel_bytes = static_cast<int64_t>(PanelBytes(type, kCols));
  const int64_t panels = std::max<int64_t>(1, kStreamPieceBytes / panel_bytes);
  const int64_t pieces = kStreamBytes / (panels * panel_bytes);
  const std::byte* from = bench.arena.data() + portion * (bench.arena.size() / kPortions);
  std::vector<std::vector<float>> y(bench.pool.threads(), std::vector<float>(rows * panels * kPanelRows));
  const double seconds = SecondsPerPiece(bench.pool, pieces, 0, [&](int64_t piece, int worker) {
    const PackedMatrix w{type, panels * kPanelRows, kCols, from + piece * panels * panel_bytes};
    Multiply(bench.kernels, w, 0, panels, x, rows, y[worker].data(), w.rows);
  });
  return seconds / static_cast<double>(bench.pool.threads() * panels * kPanelRows * kCols);
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

double SecondsPerPiece(ThreadPool& pool, int64_t pieces, double budget_s,
                       const std::function<void(int64_t piece, int worker)>& fn) {
  const Clock& clock = Clock::System();
  std::vector<float> seconds;
  const TimePoint start = clock.Now();
  do {
    const size_t before = seconds.size();
    seconds.resize(before + static_cast<size_t>(pieces));
    pool.Run(pieces, [&](int64_t piece, int worker) {
      const TimePoint begin = clock.Now();
      fn(piece, worker);
      seconds[before + static_cast<size_t>(piece)] = static_cast<float>(Seconds(clock.Now() - begin));
    });
  } while (Seconds(clock.Now() - start) < budget_s);
  const auto middle = seconds.begin() + std::ssize(seconds) / 2;
  std::ranges::nth_element(seconds, middle);
  return *middle;
}

void SpeedBench::MeasureReading() {
  ThreadPool one(1);
  profile.read_one = ReadSpeed(one, arena);
  std::vector<std::pair<double, double>> points;
  for (size_t bytes = size_t{1} << 20; bytes <= arena.size(); bytes *= 2) {
    ReadSpeed(pool, arena.first(bytes));  // so that the caches hold of it what they can
    points.emplace_back(bytes, ReadSpeed(pool, arena.first(bytes)));
  }
  profile.read = Curve(std::move(points));
  constexpr int64_t kCopyBytes = 256 << 10;  // a page of KV is about as large
  std::byte* half = arena.data() + arena.size() / 2;
  const auto copies = static_cast<int64_t>(arena.size() / 2) / kCopyBytes;
  const double copy_s = SecondsPerPiece(one, copies, kReadBudgetS, [&](int64_t i, int) {
    std::memcpy(half + i * kCopyBytes, arena.data() + i * kCopyBytes, kCopyBytes);
  });
  profile.copy_bytes_per_s = kCopyBytes / copy_s;
}

void SpeedBench::MeasureProducts(const std::function<void(double)>& progress) {
  constexpr int kRegions = 200;
  profile.region_s = FastestSeconds(kPointBudgetS,
                                    [&] {
                                      for (int i = 0; i < kRegions; ++i)
                                        pool.Run(2 * pool.threads(), [](int64_t, int) {});
                                    }) /
                     kRegions;
  const double memory_speed = profile.ReadSpeed(static_cast<double>(arena.size()));
  constexpr int64_t kMostRows = kRowCounts[std::size(kRowCounts) - 1];
  ActivationForms x(kernels, RandomFloats(kMostRows * kCols, 1), kMostRows, kCols);
  for (int i = 0; i < kWeightTypeCount; ++i) {
    const auto type = static_cast<DType>(i);
    std::vector<std::pair<double, double>> per_weight, per_output, exposed;
    const double read_s = static_cast<double>(PanelBytes(type, kCols)) / (kPanelRows * kCols) / memory_speed;
    for (size_t r = 0; r < std::size(kRowCounts); ++r) {
      const int64_t rows = kRowCounts[r];
      const double few = ProductSeconds(*this, type, kFewCols, rows, x);
      const double many = ProductSeconds(*this, type, kCols, rows, x);
      const double weight = std::max(kLeastSeconds, (many - few) / (kCols - kFewCols));
      per_weight.emplace_back(rows, weight);
      per_output.emplace_back(rows, std::max(kLeastSeconds, few - weight * kFewCols));
      const double shown = (StreamSeconds(*this, type, r, rows, x) - many / kCols) / read_s;
      exposed.emplace_back(rows, std::max(kLeastExposed, shown));
    }
    profile.products[type] = {Curve(std::move(per_weight)), Curve(std::move(per_output)),
                              Curve(std::move(exposed))};
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

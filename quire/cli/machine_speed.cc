#include "quire/cli/machine_speed.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/clock.h"
#include "quire/engine/memory_budget.h"
#include "quire/model/linear.h"

namespace quire {
namespace {

// As scales, halves of it are 1.06 and floats 0.01: any type of weights can be read from it.
constexpr int kArenaByte = 0x3C;
constexpr double kReadBudgetS = 0.1;
constexpr double kPointBudgetS = 0.01;
constexpr int64_t kPanels = 8;  // of a call: about what a task of a small model has
constexpr size_t kCachedBytesPerThread = 8 << 20;
// What a product costs per weight and per output is told apart by two lengths of rows.
constexpr int64_t kFewCols = 512, kCols = 2048;
constexpr int64_t kRowCounts[] = {1, 2, 4, 8, 16, 32, 64, 128};

// `rows` of the rows of x.
void Multiply(const KernelTable& kernels, const PackedMatrix& w, int64_t begin, int64_t end,
              ActivationForms& x, int64_t rows, float* y, int64_t y_stride) {
  const Linear linear{.matrix = w, .form = FormFor(w.type, /*exact=*/false, kernels)};
  const Activations input{.rows = rows,
                          .cols = w.cols,
                          .values = x.floats().data(),
                          .int8 = x.int8(),
                          .bfloat = x.bfloat(),
                          .wide = x.wide()};
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

// Products as the model runs them: in regions of equal tasks, some a thread. `weights` says where a task's
// panels are. Per output, on all threads: the median of `regions` regions, over and over for `budget_s`.
double ProductSeconds(
    const SpeedBench& bench, DType type, int64_t cols, int64_t rows, int64_t regions, double budget_s,
    ActivationForms& x,
    const std::function<const std::byte*(int64_t region, int64_t task, int worker)>& weights) {
  const int64_t tasks = TasksFor(INT64_MAX, bench.pool.threads()), outputs = tasks * kPanels * kPanelRows;
  std::vector<float> y(static_cast<size_t>(rows * outputs));
  ThreadPool caller(1);
  const double seconds = SecondsPerPiece(caller, regions, budget_s, [&](int64_t region, int) {
    bench.pool.Run(tasks, [&](int64_t task, int worker) {
      const PackedMatrix w{type, kPanels * kPanelRows, cols, weights(region, task, worker)};
      Multiply(bench.kernels, w, 0, kPanels, x, rows, &y[task * w.rows], outputs);
    });
  });
  return std::max(kLeastSeconds, seconds - bench.profile.region_s) / static_cast<double>(outputs);
}

// Every thread multiplies panels of its own again and again.
double NearSeconds(const SpeedBench& bench, DType type, int64_t cols, int64_t rows, ActivationForms& x) {
  const size_t own_bytes = kPanels * PanelBytes(type, cols);
  return ProductSeconds(bench, type, cols, rows, 1, kPointBudgetS, x, [&](int64_t, int64_t, int worker) {
    return bench.arena.data() + static_cast<size_t>(worker) * own_bytes;
  });
}

// All threads go through `from`, once or over and over.
double StreamSeconds(const SpeedBench& bench, DType type, std::span<const std::byte> from, int64_t rows,
                     double budget_s, ActivationForms& x) {
  const int64_t tasks = TasksFor(INT64_MAX, bench.pool.threads());
  const size_t task_bytes = kPanels * PanelBytes(type, kCols);
  const auto places = static_cast<int64_t>(from.size() / task_bytes);
  const int64_t regions = (places + tasks - 1) / tasks;
  return ProductSeconds(
      bench, type, kCols, rows, regions, budget_s, x, [&](int64_t region, int64_t task, int) {
        return from.data() + static_cast<size_t>((region * tasks + task) % places) * task_bytes;
      });
}

// What threads read from the last cache, if there is one: more than their own caches hold.
size_t CachedBytes(const SpeedBench& bench) {
  return std::min(static_cast<size_t>(bench.pool.threads()) * kCachedBytesPerThread, bench.arena.size() / 2);
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
  for (size_t half_steps = 0;; ++half_steps) {
    const size_t power = size_t{1} << (20 + half_steps / 2), bytes = power + half_steps % 2 * power / 2;
    if (bytes > arena.size()) break;
    ReadSpeed(pool, arena.first(bytes));  // so that the caches hold of it what they can
    points.emplace_back(bytes, ReadSpeed(pool, arena.first(bytes)));
  }
  profile.read = Curve(std::move(points));
  profile.cached_bytes = static_cast<double>(CachedBytes(*this));
  constexpr int64_t kCopyBytes = 256 << 10;  // a page of KV is about as large
  std::byte* half = arena.data() + arena.size() / 2;
  const auto copies = static_cast<int64_t>(arena.size() / 2) / kCopyBytes;
  const double copy_s = SecondsPerPiece(one, copies, kReadBudgetS, [&](int64_t i, int) {
    std::memcpy(half + i * kCopyBytes, arena.data() + i * kCopyBytes, kCopyBytes);
  });
  profile.copy_bytes_per_s = kCopyBytes / copy_s;
}

void SpeedBench::RunOnEveryThread(const std::function<void(int worker)>& fn) {
  constexpr int kSpins = 1000;
  std::atomic<int> absent = pool.threads();
  pool.Run(pool.threads(), [&](int64_t, int worker) {
    absent.fetch_sub(1);
    // Where threads share processors, those that wait keep others from coming.
    for (int spins = 0; absent.load() > 0; ++spins) {
      if (spins < kSpins) {
        __builtin_ia32_pause();
      } else {
        std::this_thread::yield();
      }
    }
    fn(worker);
  });
}

void SpeedBench::MeasureHandOver() {
  // Where processors are shared it takes a while until all threads run at once; else a thousand are soon
  // done.
  constexpr double kBudgetS = 0.5;
  profile.region_s = FastestSeconds(kBudgetS, [&] { RunOnEveryThread([](int) {}); });
  if (pool.threads() == 1) return;
  constexpr size_t kWords = 8 << 10;  // the activations of some rows
  std::vector<uint64_t> words(kWords);
  std::vector<double> seconds(pool.threads());
  std::atomic<uint64_t> total = 0;
  // Of the slowest thread that reads all of them, at best.
  const auto fastest = [&](const std::function<void(int worker)>& before) {
    double least = 1e9;
    const TimePoint begin = Clock::System().Now();
    do {
      RunOnEveryThread(before);
      RunOnEveryThread([&](int worker) {
        const TimePoint start = Clock::System().Now();
        total.fetch_add(std::accumulate(words.begin(), words.end(), uint64_t{0}), std::memory_order_relaxed);
        seconds[worker] = Seconds(Clock::System().Now() - start);
      });
      least = std::min(least, std::ranges::max(seconds));
    } while (Seconds(Clock::System().Now() - begin) < kPointBudgetS);
    return least;
  };
  const double again = fastest([](int) {});
  const double written = fastest([&](int worker) {
    const size_t share = kWords / seconds.size();
    std::fill_n(words.begin() + static_cast<ptrdiff_t>(worker * share), share, uint64_t{1});
  });
  profile.exchange_s = std::max(0.0, written - again) / (kWords * sizeof(uint64_t));
}

std::span<const std::byte> SpeedBench::TakeFromMemory() {
  constexpr size_t kParts = 8;
  const size_t bytes = arena.size() / kParts;
  return arena.subspan(taken++ % kParts * bytes, bytes);
}

ProductSpeed SpeedBench::MeasureProduct(DType type, ActivationForms& x) {
  std::vector<std::pair<double, double>> per_weight, per_output, from_cache, from_memory;
  for (const int64_t rows : kRowCounts) {
    const double few = NearSeconds(*this, type, kFewCols, rows, x);
    const double many = NearSeconds(*this, type, kCols, rows, x);
    const auto [output, weight] = TimePerCount::Of(kFewCols, few, kCols, many);
    per_weight.emplace_back(rows, weight);
    per_output.emplace_back(rows, output);
    const auto longer = [&](std::span<const std::byte> weights, double budget_s) {
      const double seconds = StreamSeconds(*this, type, weights, rows, budget_s, x);
      return std::max(kLeastSeconds, (seconds - many) / kCols);
    };
    from_memory.emplace_back(rows, longer(TakeFromMemory(), 0));
    const auto cached = std::span<const std::byte>(arena).first(CachedBytes(*this));
    longer(cached, 0);  // so that the cache holds it
    from_cache.emplace_back(rows, longer(cached, kPointBudgetS));
  }
  return {Curve(std::move(per_weight)), Curve(std::move(per_output)), Curve(std::move(from_cache)),
          Curve(std::move(from_memory))};
}

void SpeedBench::MeasureProducts(const std::function<void(double)>& progress) {
  constexpr int64_t kMostRows = kRowCounts[std::size(kRowCounts) - 1];
  ActivationForms x(kernels, RandomFloats(kMostRows * kCols, 1), kMostRows, kCols);
  for (int i = 0; i < kWeightTypeCount; ++i) {
    const auto type = static_cast<DType>(i);
    profile.products[type] = MeasureProduct(type, x);
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
  bench.MeasureHandOver();
  progress(0.3);
  bench.MeasureProducts([&](double share) { progress(0.3 + 0.4 * share); });
  bench.MeasureElements();
  bench.MeasureAttention([&](double share) { progress(0.7 + 0.3 * share); });
  return profile;
}

}  // namespace quire

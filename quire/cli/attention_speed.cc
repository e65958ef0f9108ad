// The parts of machine_speed.h that measure attention and element-wise work.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "quire/base/clock.h"
#include "quire/cli/machine_speed.h"
#include "quire/kernels/kv_codec.h"
#include "quire/kernels/random_weights.h"

namespace quire {
namespace {

constexpr double kPointBudgetS = 0.008;
constexpr int kPageTokens = 16;
constexpr int64_t kKeys = kAttentionSplit;
constexpr int kHeadDims[] = {64, 128, 256};
constexpr int64_t kRowCounts[] = {1, 4, 16, 64, 128};
constexpr int64_t kStreamRows[] = {4, 128};  // of a decoded token, and of a prompt's block
constexpr int64_t kHeadsPerKv = 4;           // query heads that share a KV head, in most models
// What attention costs per call and per key is told apart by two numbers of keys.
constexpr int64_t kFewKeys = 64, kMaskedKeys = kKeys / 2;
// Of element-wise work: what the caches nearest to a thread hold, and what they do not.
constexpr int64_t kRowFloats = 1024;
constexpr int64_t kFloatCounts[] = {kRowFloats, 16 * kRowFloats, 128 * kRowFloats, 512 * kRowFloats};

// Rows that attend to one split of pages, on every thread: its own queries, results and scratch.
struct Readers {
  std::vector<float> q, out, lse, scratch;
  std::vector<AttentionRow> rows;

  Readers(int64_t count, int head_dim)
      : q(RandomFloats(count * head_dim, 1)),
        out(q.size()),
        lse(static_cast<size_t>(count)),
        scratch(AttentionScratchFloats(static_cast<size_t>(count), head_dim)) {
    for (int64_t r = 0; r < count; ++r) {
      rows.push_back({&q[r * head_dim], &out[r * head_dim], &lse[r], 0, kKeys});
    }
  }
  // A copy's rows would be those of the original.
  Readers(const Readers&) = delete;
  Readers(Readers&&) = default;

  // All rows see `keys`; or, of a prompt's tokens, each one more than the token before it.
  void See(int64_t keys, bool masked) {
    const int64_t tokens = (std::ssize(rows) + kHeadsPerKv - 1) / kHeadsPerKv;
    for (int64_t r = 0; r < std::ssize(rows); ++r) {
      rows[r].end = masked ? keys - tokens + 1 + r / kHeadsPerKv : keys;
    }
  }
  double KeysSeen() const {
    double keys = 0;
    for (const AttentionRow& row : rows) keys += static_cast<double>(row.end);
    return keys / static_cast<double>(rows.size());
  }
};

class AttentionBench {
 public:
  AttentionBench(SpeedBench& bench, DType type, int head_dim)
      : bench_(bench),
        type_(type),
        head_dim_(head_dim),
        tile_bytes_(KvTileBytes(type, kPageTokens, head_dim)) {}

  AttentionSpeed Measure() {
    std::vector<std::pair<double, double>> per_call, per_key, masked;
    for (const int64_t rows : kRowCounts) {
      std::vector<Readers> readers = MakeReaders(rows);
      const double few = SecondsPerCall(readers, kFewKeys, false);
      const auto [call, key] = TimePerCount::Of(kFewKeys, few, kKeys, SecondsPerCall(readers, kKeys, false));
      const double end = SecondsPerCall(readers, kMaskedKeys, true) - call - key * readers[0].KeysSeen();
      per_call.emplace_back(rows, call);
      per_key.emplace_back(rows, key);
      masked.emplace_back(rows, std::max(kLeastSeconds, end));
    }
    AttentionSpeed speed{
        Curve(std::move(per_call)), Curve(std::move(per_key)), Curve(std::move(masked)), {}, {}};
    ReadingSeconds(CachedPages(), speed);  // so that the cache holds them
    speed.from_cache = ReadingSeconds(CachedPages(), speed);
    speed.from_memory = ReadingSeconds(bench_.arena, speed);
    return speed;
  }

 private:
  std::span<const std::byte> CachedPages() const {
    return bench_.arena.first(static_cast<size_t>(bench_.profile.cached_bytes));
  }

  std::vector<Readers> MakeReaders(int64_t rows) const {
    std::vector<Readers> readers;
    for (int i = 0; i < bench_.pool.threads(); ++i) readers.emplace_back(rows, head_dim_);
    return readers;
  }

  // On one thread of all, over pages that stay in its cache.
  double SecondsPerCall(std::vector<Readers>& readers, int64_t keys, bool masked) {
    constexpr int64_t kAgain = 8;
    for (Readers& r : readers) r.See(keys, masked);
    return SecondsPerPiece(
        bench_.pool, kAgain * bench_.pool.threads(), kPointBudgetS, [&](int64_t, int worker) {
          const size_t offset = static_cast<size_t>(worker) * 2 * tile_bytes_ * kKeys / kPageTokens;
          Attend(offset, 2 * tile_bytes_, readers[worker]);
        });
  }

  // How much longer calls take over pages in `memory` than over those in the thread's cache.
  AttentionSpeed::Reading ReadingSeconds(std::span<const std::byte> memory, const AttentionSpeed& near) {
    std::vector<std::pair<double, double>> per_call, per_key;
    for (const int64_t rows : kStreamRows) {
      const auto longer = [&](int64_t keys) {
        const double call = near.call_seconds.At(rows) + near.seconds.At(rows) * static_cast<double>(keys);
        return StreamSecondsPerCall(memory, rows, keys) - call;
      };
      const double few = longer(kFewKeys);
      const auto [call, key] = TimePerCount::Of(kFewKeys, few, kKeys, longer(kKeys));
      per_call.emplace_back(rows, call);
      per_key.emplace_back(rows, key);
    }
    return {Curve(std::move(per_call)), Curve(std::move(per_key))};
  }

  // On one thread of all, over all of `memory`, as if it were pages of many heads: what one head reads lies
  // far apart.
  double StreamSecondsPerCall(std::span<const std::byte> memory, int64_t rows, int64_t keys) {
    std::vector<Readers> readers = MakeReaders(rows);
    for (Readers& r : readers) r.See(keys, false);
    const size_t pages = static_cast<size_t>(keys) / kPageTokens;
    // An odd number: pages that lie apart by powers of two would evict each other.
    const size_t heads = (memory.size() / pages / (2 * tile_bytes_) - 1) | 1;
    // Of a page, the heads of one layer lie together, and a step reads other things before the next layer.
    constexpr size_t kTogether = 4, kScatter = 1009;
    const size_t layers = heads / kTogether;
    const auto attend = [&](int64_t call, int worker) {
      const size_t layer = static_cast<size_t>(call) / kTogether * kScatter % layers;
      const size_t head = layer * kTogether + static_cast<size_t>(call) % kTogether;
      Attend(head * 2 * tile_bytes_, heads * 2 * tile_bytes_, readers[worker]);
    };
    constexpr size_t kMostCalls = 512;
    const size_t calls = std::min(layers * kTogether, kMostCalls);
    return SecondsPerPiece(bench_.pool, static_cast<int64_t>(calls), 0, attend);
  }

  // Over the pages that begin at `offset`, `stride` apart.
  void Attend(size_t offset, size_t stride, Readers& readers) const {
    const std::byte* k[kKeys / kPageTokens];
    const std::byte* v[kKeys / kPageTokens];
    const size_t pages = static_cast<size_t>(readers.rows.back().end) / kPageTokens;
    for (size_t page = 0; page < pages; ++page) {
      k[page] = bench_.arena.data() + offset + page * stride;
      v[page] = k[page] + tile_bytes_;
    }
    const auto attend = type_ == DType::kF32 ? bench_.kernels.attention : bench_.kernels.attention_bf16;
    attend({type_, kPageTokens, head_dim_, k, v}, {.scale = 0.125f}, readers.rows, readers.scratch.data());
  }

  SpeedBench& bench_;
  const DType type_;
  const int head_dim_;
  const size_t tile_bytes_;
};

// Per float, on one thread of all: every thread goes through `floats` of its own in rows, after all threads
// wrote their shares of all rows' columns into `written`, as products do.
template <typename Fn>
double SecondsPerFloat(SpeedBench& bench, int64_t floats, std::vector<float>& written, Fn row) {
  const int64_t columns = kRowFloats / bench.pool.threads();
  std::vector<double> fastest(bench.pool.threads(), 1e9);
  const TimePoint start = Clock::System().Now();
  do {
    bench.RunOnEveryThread([&](int worker) {
      for (int64_t at = worker * columns; at < std::ssize(written); at += kRowFloats) {
        std::fill_n(&written[at], columns, 1.0f);
      }
    });
    bench.RunOnEveryThread([&](int worker) {
      const TimePoint begin = Clock::System().Now();
      for (int64_t at = worker * floats; at < (worker + 1) * floats; at += kRowFloats) row(at);
      fastest[worker] = std::min(fastest[worker], Seconds(Clock::System().Now() - begin));
    });
  } while (Seconds(Clock::System().Now() - start) < kPointBudgetS);
  return std::ranges::max(fastest) / static_cast<double>(floats);
}

}  // namespace

void SpeedBench::MeasureAttention(const std::function<void(double)>& progress) {
  double done = 0;
  for (const KvTypeRow& row : KvTypes()) {
    for (const int head_dim : kHeadDims) {
      profile.attention[row.type][head_dim] = AttentionBench(*this, row.type, head_dim).Measure();
    }
    progress(++done / static_cast<double>(KvTypes().size()));
  }
}

void SpeedBench::MeasureElements() {
  constexpr int kHeadDim = 64;
  const size_t tile = KvTileBytes(DType::kF16, kPageTokens, kHeadDim);
  const auto store = [&](int64_t place, const float* key) {
    std::byte* k_tile = arena.data() + static_cast<size_t>(place) * 2 * tile;
    kernels.store_kv(DType::kF16, kPageTokens, kHeadDim, 3, key, key, k_tile, k_tile + tile);
  };
  const std::vector<float> weights = RandomFloats(kRowFloats, 1);
  std::vector<std::pair<double, double>> norm, activate, rotate, round;
  std::vector<float> none;  // written by all: of a thread's own outputs
  for (const int64_t floats : kFloatCounts) {
    const int64_t all = pool.threads() * floats;
    std::vector<float> x = RandomFloats(all, 1), y = RandomFloats(all, 2), out(all);
    std::vector<int8_t> values(all);
    std::vector<float> scales(all / kActivationGroup);
    std::vector<int32_t> sums(all / 16);
    const auto quantize = [&](const std::vector<float>& from, int64_t at) {
      kernels.quantize_row(&from[at], 0,
                           {1, kRowFloats, &values[at], &scales[at / kActivationGroup], &sums[at / 16]});
    };
    activate.emplace_back(floats, SecondsPerFloat(*this, floats, none, [&](int64_t at) {
                            kernels.silu_mul(&x[at], &y[at], kRowFloats, &out[at]);
                            quantize(out, at);
                          }));
    round.emplace_back(floats, SecondsPerFloat(*this, floats, y, [&](int64_t at) { quantize(y, at); }));
    // Of 16 heads most are queries' and keys'; two heads' keys and values are stored.
    rotate.emplace_back(floats, SecondsPerFloat(*this, floats, y, [&](int64_t at) {
                          for (int64_t head = at; head < at + kRowFloats; head += kHeadDim) {
                            kernels.rope(&y[head], weights.data(), &weights[kHeadDim], kHeadDim, false);
                          }
                          for (int64_t i = 0; i < 2; ++i) store(2 * (at / floats) + i, &y[at]);
                        }));
    norm.emplace_back(floats, SecondsPerFloat(*this, floats, y, [&](int64_t at) {
                        kernels.add(&x[at], &y[at], kRowFloats);
                        kernels.rms_norm(&x[at], weights.data(), kRowFloats, 1e-5f, 0, &out[at]);
                        quantize(out, at);
                      }));
  }
  profile.norm = Curve(std::move(norm));
  profile.activate = Curve(std::move(activate));
  profile.rotate = Curve(std::move(rotate));
  profile.quantize = Curve(std::move(round));

  constexpr int64_t kStride = 127, kStores = 20000, kTogether = 4;  // far apart, and each another one
  const int64_t places = std::ssize(arena) / (2 * static_cast<int64_t>(tile));
  profile.store_s = SecondsPerPiece(pool, kStores, 0,
                                    [&](int64_t i, int) {
                                      for (int64_t k = 0; k < kTogether; ++k) {
                                        store((kTogether * i + k) * kStride % places, weights.data());
                                      }
                                    }) /
                    (kTogether * 2 * kHeadDim);
  profile.merge_s = SecondsPerFloat(*this, kRowFloats, none, [&](int64_t) {
    for (int64_t head = 0; head < kRowFloats; head += kHeadDim) {
      float lse = 0;
      std::array<float, kHeadDim> out{};
      kernels.merge_partial(&weights[head], 0, kHeadDim, out.data(), &lse);
    }
  });
}

}  // namespace quire

// The parts of machine_speed.h that measure attention and element-wise work.
#include <algorithm>
#include <cstring>
#include <vector>

#include "quire/cli/machine_speed.h"
#include "quire/kernels/kv_codec.h"
#include "quire/kernels/random_weights.h"

namespace quire {
namespace {

constexpr double kPointBudgetS = 0.015;
constexpr int kPageTokens = 16;
constexpr int64_t kKeys = kAttentionSplit;
constexpr int kHeadDims[] = {64, 128, 256};
constexpr int64_t kRowCounts[] = {1, 4, 16, 64, 128};
constexpr int64_t kStreamRows = 4;  // query heads that share a KV head, in most models

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
};

class AttentionBench {
 public:
  AttentionBench(SpeedBench& bench, DType type, int head_dim)
      : bench_(bench),
        type_(type),
        head_dim_(head_dim),
        tile_bytes_(KvTileBytes(type, kPageTokens, head_dim)) {}

  AttentionSpeed Measure() {
    std::vector<std::pair<double, double>> points;
    for (const int64_t rows : kRowCounts) points.emplace_back(rows, SecondsPerKey(rows));
    Curve seconds(std::move(points));
    const double read_s = 2.0 * static_cast<double>(tile_bytes_) / kPageTokens /
                          bench_.profile.ReadSpeed(static_cast<double>(bench_.arena.size()));
    const double attending_s = seconds.At(kStreamRows) / bench_.pool.threads();
    const double exposed = std::max(0.0, (StreamSecondsPerKey() - attending_s) / read_s);
    return {std::move(seconds), exposed};
  }

 private:
  std::vector<Readers> MakeReaders(int64_t rows) const {
    std::vector<Readers> readers;
    for (int i = 0; i < bench_.pool.threads(); ++i) readers.emplace_back(rows, head_dim_);
    return readers;
  }

  // On one thread of all, over pages that stay in its cache.
  double SecondsPerKey(int64_t rows) {
    std::vector<Readers> readers = MakeReaders(rows);
    constexpr int64_t kAgain = 8;
    const double seconds =
        SecondsPerPiece(bench_.pool, kAgain * bench_.pool.threads(), kPointBudgetS, [&](int64_t, int worker) {
          const size_t offset = static_cast<size_t>(worker) * 2 * tile_bytes_ * kKeys / kPageTokens;
          Attend(offset, 2 * tile_bytes_, readers[worker]);
        });
    return seconds / kKeys;
  }

  // On all threads, over all of the arena, as if it were pages of many heads: what one head reads lies far
  // apart.
  double StreamSecondsPerKey() {
    std::vector<Readers> readers = MakeReaders(kStreamRows);
    constexpr size_t kPages = kKeys / kPageTokens;
    const size_t heads = bench_.arena.size() / kPages / (2 * tile_bytes_);
    const auto attend = [&](int64_t head, int worker) {
      Attend(static_cast<size_t>(head) * 2 * tile_bytes_, heads * 2 * tile_bytes_, readers[worker]);
    };
    const double seconds = SecondsPerPiece(bench_.pool, static_cast<int64_t>(heads), 0, attend);
    return seconds / (kKeys * bench_.pool.threads());
  }

  // Over the pages that begin at `offset`, `stride` apart.
  void Attend(size_t offset, size_t stride, Readers& readers) const {
    const std::byte* k[kKeys / kPageTokens];
    const std::byte* v[kKeys / kPageTokens];
    for (size_t page = 0; page < std::size(k); ++page) {
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
  constexpr int64_t kFloats = 1024, kHeadDim = 64, kAgain = 16;
  std::vector<float> x = RandomFloats(kFloats, 1), y = RandomFloats(kFloats, 2), out(kFloats);
  std::vector<int8_t> values(kFloats);
  std::vector<float> scales(kFloats / kActivationGroup);
  std::vector<int32_t> sums(kFloats / 16);
  const QuantizedActivations quantized{1, kFloats, values.data(), scales.data(), sums.data()};
  const auto per_float = [&](const std::function<void()>& once) {
    const double seconds = FastestSeconds(kPointBudgetS, [&] {
      for (int i = 0; i < kAgain; ++i) once();
    });
    return seconds / (kAgain * kFloats);
  };
  profile.activate_s = per_float([&] {
    kernels.silu_mul(x.data(), y.data(), kFloats, out.data());
    kernels.quantize_row(out.data(), 0, quantized);
  });
  // Of 16 heads' floats most are queries' and keys'; two heads' keys and values are stored.
  const size_t tile = KvTileBytes(DType::kF16, kPageTokens, kHeadDim);
  profile.rotate_s = per_float([&] {
    for (int64_t head = 0; head < kFloats / kHeadDim; ++head) {
      kernels.rope(&x[head * kHeadDim], y.data(), y.data() + kHeadDim, kHeadDim, false);
    }
    for (int head = 0; head < 2; ++head) {
      std::byte* k_tile = arena.data() + static_cast<size_t>(head) * 2 * tile;
      kernels.store_kv(DType::kF16, kPageTokens, kHeadDim, 3, &x[head * kHeadDim], &y[head * kHeadDim],
                       k_tile, k_tile + tile);
    }
    std::copy_n(y.begin(), kFloats, x.begin());  // rotations by what are no cosines grow
  });
  profile.norm_s = per_float([&] {  // x grows: last
    kernels.add(x.data(), y.data(), kFloats);
    kernels.rms_norm(x.data(), y.data(), kFloats, 1e-5f, 0, out.data());
    kernels.quantize_row(out.data(), 0, quantized);
  });
}

}  // namespace quire

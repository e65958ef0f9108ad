// How fast the kernels run here, next to the limit of the memory: `kernels_bench [threads] [type]`. Each
// product is over more weights than the caches hold; GB/s counts the packed weights once per call, GOPS two
// per multiply-add. Choose an instruction set with QUIRE_FORCE_ISA.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string_view>

#include "quire/base/aligned_buffer.h"
#include "quire/base/thread_pool.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/random_weights.h"

namespace quire {
namespace {

constexpr int64_t kCols = 2048;
constexpr int64_t kWeightBytes = int64_t{192} << 20;
constexpr double kMostOperations = 6e9;  // multiply-adds of one call: large batches take fewer outputs
constexpr int64_t kPanelsPerTask = 16;

// Seconds of the fastest of several calls.
double Fastest(const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  double fastest = 1e9, total = 0;
  for (int i = 0; i < 3 || (total < 0.4 && i < 200); ++i) {
    const auto start = Clock::now();
    call();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    fastest = std::min(fastest, seconds);
    total += seconds;
  }
  return fastest;
}

double ReadBandwidth(ThreadPool& pool) {
  const AlignedBuffer buffer = AlignedBuffer::Allocate(kWeightBytes).value();
  const int64_t words = kWeightBytes / 8;
  auto* data = buffer.as<uint64_t>();
  std::fill_n(data, words, 1);
  std::atomic<uint64_t> total = 0;
  const double seconds = Fastest([&] {
    pool.ParallelFor(words, 1 << 15, [&](int64_t begin, int64_t end, int) {
      uint64_t sums[8] = {};
      for (int64_t i = begin; i < end; i += 8)
        for (int k = 0; k < 8; ++k) sums[k] += data[i + k];
      for (uint64_t sum : sums) total.fetch_add(sum, std::memory_order_relaxed);
    });
  });
  return kWeightBytes / seconds / 1e9;
}

void BenchType(const KernelTable& kernels, ThreadPool& pool, DType type) {
  const auto panel_bytes = static_cast<int64_t>(PanelBytes(type, kCols));
  const int64_t panels = kWeightBytes / panel_bytes;
  const AlignedBuffer memory = AlignedBuffer::Allocate(panels * panel_bytes).value();
  const std::vector<std::byte> source = RandomWeights(type, kPanelRows, kCols, 1);
  const double pack_seconds = Fastest([&] {
    pool.ParallelFor(panels, kPanelsPerTask, [&](int64_t begin, int64_t end, int) {
      for (int64_t p = begin; p < end; ++p)
        kernels.pack(type, source.data(), kPanelRows, kCols, 0, 1, memory.data() + p * panel_bytes);
    });
  });
  fmt::print("{:5} pack {:5.1f} GB/s\n", Info(type).name, panels * panel_bytes / pack_seconds / 1e9);
  for (int64_t rows : {1, 2, 4, 16, 64, 512}) {
    const auto most =
        static_cast<int64_t>(kMostOperations / (static_cast<double>(rows) * kCols * kPanelRows));
    const int64_t used = std::min(panels, most);
    const PackedMatrix w{type, used * kPanelRows, kCols, memory.data()};
    const ActivationForms x(kernels, RandomFloats(rows * kCols, 1), rows, kCols);
    std::vector<float> y(rows * w.rows);
    const auto report = [&](std::string_view name, double seconds) {
      fmt::print("{:5} {:11} m={:<4} {:7.1f} GB/s {:8.1f} GOPS\n", Info(type).name, name, rows,
                 used * panel_bytes / seconds / 1e9, 2.0 * rows * w.rows * kCols / seconds / 1e9);
    };
    if (IsQuantized(type)) {
      report("matmul_q8", Fastest([&] {
               pool.ParallelFor(used, kPanelsPerTask, [&](int64_t begin, int64_t end, int) {
                 kernels.matmul_q8(w, begin, end, x.int8(), y.data(), w.rows);
               });
             }));
    }
    if (IsQuantized(type) && kernels.matmul_wide != nullptr) {
      report("matmul_wide", Fastest([&] {
               pool.ParallelFor(used, kPanelsPerTask, [&](int64_t begin, int64_t end, int) {
                 kernels.matmul_wide(w, begin, end, x.wide(), y.data(), w.rows);
               });
             }));
    }
    report("matmul_f32", Fastest([&] {
             pool.ParallelFor(used, kPanelsPerTask, [&](int64_t begin, int64_t end, int) {
               kernels.matmul_f32(w, begin, end, x.floats().data(), kCols, rows, y.data(), w.rows);
             });
           }));
    if (MultipliesBFloats(kernels, type)) {
      report("matmul_bf16", Fastest([&] {
               pool.ParallelFor(used, kPanelsPerTask, [&](int64_t begin, int64_t end, int) {
                 kernels.matmul_bf16(w, begin, end, x.bfloat(), y.data(), w.rows);
               });
             }));
    }
  }
}

// `tokens` query tokens with 4 heads each attend to all of `context` positions of 8 KV heads of 64
// dimensions, which the tasks share by head and split.
void BenchAttention(const KernelTable& kernels, bool bf16, ThreadPool& pool, int64_t tokens,
                    int64_t context) {
  const auto attention = bf16 ? kernels.attention_bf16 : kernels.attention;
  constexpr int kHeads = 8, kRowsPerToken = 4, kHeadDim = 64, kPageTokens = 32;
  const int64_t splits = context / kAttentionSplit, tile = kPageTokens * kHeadDim * 2;
  const AlignedBuffer memory = AlignedBuffer::Allocate(2 * kHeads * context * kHeadDim * 2).value();
  std::vector<const std::byte*> k_tiles(kHeads * context / kPageTokens), v_tiles(k_tiles.size());
  for (size_t i = 0; i < k_tiles.size(); ++i) {
    k_tiles[i] = memory.data() + 2 * i * tile;
    v_tiles[i] = memory.data() + (2 * i + 1) * tile;
  }
  const int64_t rows = tokens * kRowsPerToken;
  const std::vector<float> q = RandomFloats(rows * kHeadDim, 1);
  std::vector<float> out(kHeads * splits * rows * kHeadDim), lse(kHeads * splits * rows);
  std::vector<std::vector<float>> scratch(pool.threads(),
                                          std::vector<float>(AttentionScratchFloats(rows, kHeadDim)));
  const double seconds = Fastest([&] {
    pool.Run(kHeads * splits, [&](int64_t task, int worker) {
      const int64_t head = task / splits, split = task % splits;
      std::vector<AttentionRow> list;
      for (int64_t r = 0; r < rows; ++r) {
        list.push_back({&q[r * kHeadDim], &out[(task * rows + r) * kHeadDim], &lse[task * rows + r],
                        split * kAttentionSplit, (split + 1) * kAttentionSplit});
      }
      const AttentionPages pages{DType::kF16, kPageTokens, kHeadDim, &k_tiles[head * context / kPageTokens],
                                 &v_tiles[head * context / kPageTokens]};
      attention(pages, {.scale = 0.125f}, list, scratch[worker].data());
    });
  });
  fmt::print("attention{} F16, {} tokens x 4 heads, {} positions: {:7.1f} GB/s {:8.1f} GFLOPS\n",
             bf16 ? "_bf16" : "", tokens, context, 2.0 * kHeads * context * kHeadDim * 2 / seconds / 1e9,
             4.0 * kHeads * rows * context * kHeadDim / seconds / 1e9);
}

int Main(int argc, char** argv) {
  ThreadPool pool(argc > 1 ? std::max(1, std::atoi(argv[1])) : UsableProcessors());
  const std::string_view only = argc > 2 ? argv[2] : "";
  const KernelTable& kernels = BestKernels();
  fmt::print("{} kernels, {} threads, read bandwidth {:.1f} GB/s\n", kernels.name, pool.threads(),
             ReadBandwidth(pool));
  for (DType type : AllTypes()) {
    if (only.empty() || only == Info(type).name) BenchType(kernels, pool, type);
  }
  if (only.empty() || only == "attention") {
    for (const bool bf16 : {false, true}) {
      BenchAttention(kernels, bf16, pool, 1, 65536);
      BenchAttention(kernels, bf16, pool, 16, 4096);
    }
  }
  fmt::print("read bandwidth again {:.1f} GB/s\n", ReadBandwidth(pool));
  return 0;
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) { return quire::Main(argc, argv); }

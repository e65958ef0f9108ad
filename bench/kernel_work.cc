// One kernel on one thread, so many times: `kernel_work NAME TIMES`, or `kernel_work list`. The difference of
// the instructions of two runs is exactly what the kernel takes, whatever the machine is busy with: see
// bench/instruction_counts.
#include <fmt/format.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "quire/kernels/kernels.h"
#include "quire/kernels/random_weights.h"

namespace quire {
namespace {

constexpr int64_t kCols = 1024, kPanels = 8;

std::function<void()> Product(const KernelTable& kernels, DType type, int64_t rows) {
  const std::vector<std::byte> source = RandomWeights(type, kPanels * kPanelRows, kCols, 1);
  std::vector<std::byte> packed(kPanels * PanelBytes(type, kCols) + 64);
  const auto base = reinterpret_cast<uintptr_t>(packed.data());
  const size_t skip = (64 - base % 64) % 64;
  kernels.pack(type, source.data(), kPanels * kPanelRows, kCols, 0, kPanels, packed.data() + skip);
  std::vector<float> x = RandomFloats(rows * kCols, 2), y(rows * kPanels * kPanelRows);
  std::vector<int8_t> values(x.size());
  std::vector<float> scales(x.size() / kActivationGroup);
  std::vector<int32_t> sums(x.size() / 16);
  const QuantizedActivations view{rows, kCols, values.data(), scales.data(), sums.data()};
  for (int64_t r = 0; r < rows; ++r) kernels.quantize_row(x.data(), r, view);
  return [=, &kernels, packed = std::move(packed), x = std::move(x), y = std::move(y),
          values = std::move(values), scales = std::move(scales), sums = std::move(sums)]() mutable {
    const PackedMatrix w{type, kPanels * kPanelRows, kCols, packed.data() + skip};
    if (IsQuantized(type)) {
      const QuantizedActivations here{rows, kCols, values.data(), scales.data(), sums.data()};
      kernels.matmul_q8(w, 0, kPanels, here, y.data(), w.rows);
    } else {
      kernels.matmul_f32(w, 0, kPanels, x.data(), kCols, rows, y.data(), w.rows);
    }
  };
}

// `queries` rows over 512 positions of f16 pages.
std::function<void()> Attention(const KernelTable& kernels, int64_t queries) {
  constexpr int kHeadDim = 64, kPageTokens = 16;
  constexpr int64_t kPages = kAttentionSplit / kPageTokens;
  std::vector<std::byte> memory(2 * kAttentionSplit * kHeadDim * 2);
  return [=, &kernels, memory = std::move(memory), q = RandomFloats(queries * kHeadDim, 1),
          out = std::vector<float>(queries * kHeadDim), lse = std::vector<float>(queries),
          scratch = std::vector<float>(AttentionScratchFloats(queries, kHeadDim))]() mutable {
    std::vector<const std::byte*> k_tiles(kPages), v_tiles(kPages);
    for (int64_t i = 0; i < kPages; ++i) {
      k_tiles[i] = memory.data() + 2 * i * kPageTokens * kHeadDim * 2;
      v_tiles[i] = k_tiles[i] + kPageTokens * kHeadDim * 2;
    }
    std::vector<AttentionRow> rows;
    for (int64_t r = 0; r < queries; ++r) {
      rows.push_back({&q[r * kHeadDim], &out[r * kHeadDim], &lse[r], 0, kAttentionSplit});
    }
    kernels.attention({DType::kF16, kPageTokens, kHeadDim, k_tiles.data(), v_tiles.data()}, {.scale = 0.125f},
                      rows, scratch.data());
  };
}

using Works = std::map<std::string, std::function<std::function<void()>()>>;

Works AllWorks(const KernelTable& kernels) {
  Works works;
  for (const DType type :
       {DType::kQ4_0, DType::kQ4_1, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kBF16}) {
    for (const int64_t rows : {1, 4, 64}) {
      works[fmt::format("product {} x {}", Info(type).name, rows)] = [=, &kernels] {
        return Product(kernels, type, rows);
      };
    }
  }
  for (const int64_t queries : {1, 4, 64}) {
    works[fmt::format("attention x {}", queries)] = [=, &kernels] { return Attention(kernels, queries); };
  }
  works["norm and quantize"] = [&kernels]() -> std::function<void()> {
    return [&kernels, x = RandomFloats(kCols, 1), w = RandomFloats(kCols, 2), y = std::vector<float>(kCols),
            values = std::vector<int8_t>(kCols), scales = std::vector<float>(kCols / kActivationGroup),
            sums = std::vector<int32_t>(kCols / 16)]() mutable {
      kernels.rms_norm(x.data(), w.data(), kCols, 1e-5f, 0, y.data());
      kernels.quantize_row(y.data(), 0, {1, kCols, values.data(), scales.data(), sums.data()});
    };
  };
  return works;
}

int Main(int argc, char** argv) {
  const Works works = AllWorks(BestKernels());
  if (argc == 2 && argv[1] == std::string("list")) {
    for (const auto& [name, make] : works) fmt::print("{}\n", name);
    return 0;
  }
  const auto found = argc == 3 ? works.find(argv[1]) : works.end();
  if (found == works.end()) {
    fmt::print(stderr, "usage: kernel_work NAME TIMES, or kernel_work list\n");
    return 2;
  }
  const std::function<void()> work = found->second();
  for (int i = std::atoi(argv[2]); i > 0; --i) work();
  return 0;
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) { return quire::Main(argc, argv); }

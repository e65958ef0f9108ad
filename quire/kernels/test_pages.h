// Pages of keys and values, and rows that attend to them, for tests of attention.
#ifndef QUIRE_KERNELS_TEST_PAGES_H_
#define QUIRE_KERNELS_TEST_PAGES_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/kernels/random_weights.h"

namespace quire {

// The KV of one sequence in pages, and as the floats they hold.
struct TestPages {
  AttentionPages view;
  std::vector<std::vector<std::byte>> tiles;  // K and V in turn
  std::vector<const std::byte*> k_tiles, v_tiles;
  std::vector<float> k, v;  // [token][head_dim]

  TestPages(const KernelTable& kernels, DType type, int page_tokens, int head_dim, int64_t tokens)
      : TestPages(kernels, type, page_tokens, head_dim, RandomFloats(tokens * head_dim, 1),
                  RandomFloats(tokens * head_dim, 2)) {}

  TestPages(const KernelTable& kernels, DType type, int page_tokens, int head_dim, std::vector<float> keys,
            std::vector<float> values)
      : k(std::move(keys)), v(std::move(values)) {
    const int64_t tokens = std::ssize(k) / head_dim;
    for (int64_t page = 0; page * page_tokens < tokens; ++page) {
      for (auto* pointers : {&k_tiles, &v_tiles}) {
        // What was never written reads as NaN and must not matter.
        tiles.emplace_back(KvTileBytes(type, page_tokens, head_dim), std::byte{0xff});
        pointers->push_back(tiles.back().data());
      }
    }
    view = {type, page_tokens, head_dim, k_tiles.data(), v_tiles.data()};
    for (int64_t t = 0; t < tokens; ++t) Write(kernels, t);
  }

  // Stores token t, and reads back what became of it.
  void Write(const KernelTable& kernels, int64_t t) {
    const int64_t page = t / view.page_tokens, at = t * view.head_dim;
    const int slot = static_cast<int>(t % view.page_tokens);
    std::byte* k_tile = tiles[2 * page].data();
    std::byte* v_tile = tiles[2 * page + 1].data();
    kernels.store_kv(view.type, view.page_tokens, view.head_dim, slot, &k[at], &v[at], k_tile, v_tile);
    kernels.load_kv(view.type, view.page_tokens, view.head_dim, slot, k_tile, v_tile, &k[at], &v[at]);
  }
};

struct TestRows {
  int64_t head_dim;
  std::vector<float> q, out, lse;
  std::vector<AttentionRow> rows;

  TestRows(int head_dim, const std::vector<std::pair<int64_t, int64_t>>& ranges)
      : head_dim(head_dim),
        q(RandomFloats(ranges.size() * head_dim, 3)),
        out(ranges.size() * head_dim, NAN),
        lse(ranges.size(), NAN) {
    for (size_t r = 0; r < ranges.size(); ++r) {
      rows.push_back({&q[r * head_dim], &out[r * head_dim], &lse[r], ranges[r].first, ranges[r].second});
    }
  }
};

// Which of the two entries.
enum class Precision { kFloat, kBFloat };
inline constexpr Precision kBothPrecisions[] = {Precision::kFloat, Precision::kBFloat};

inline void Attend(const KernelTable& kernels, Precision precision, const TestPages& pages,
                   const AttentionParams& params, std::span<const AttentionRow> rows) {
  std::vector<float> scratch(AttentionScratchFloats(rows.size(), pages.view.head_dim));
  const auto attend = precision == Precision::kFloat ? kernels.attention : kernels.attention_bf16;
  attend(pages.view, params, rows, scratch.data());
}

}  // namespace quire

#endif  // QUIRE_KERNELS_TEST_PAGES_H_

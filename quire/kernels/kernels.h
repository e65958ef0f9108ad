// The arithmetic of a forward pass as one table of function pointers per instruction set, chosen once at
// start: `const KernelTable& k = BestKernels();`. Every entry computes the same function on every ISA up to
// the rounding stated in kernels_test.cc, and none has state, allocates, or starts threads: callers split
// work over a ThreadPool by panels, rows or heads.
//
// Batch invariance. For one output element every entry performs the same operations in the same order,
// whatever the number of rows or the range of panels in the call. So a token's result never depends on what
// else is in the batch, on prompt chunking, or on the number of threads.
//
// Weights are packed once at load into panels of kPanelRows output features (see packed_matrix.h), so that
// one vector register holds the same input position of 16 outputs, products need no horizontal sums, and one
// kernel serves every batch size.
#ifndef QUIRE_KERNELS_KERNELS_H_
#define QUIRE_KERNELS_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "quire/kernels/dtype.h"

namespace quire {

inline constexpr int kPanelRows = 16;        // output features per packed panel
inline constexpr int kActivationGroup = 32;  // activations that share one scale
// Dimensions of a KV head that share a scale, in codes of 8 bits and of 4 (kv_codec.h).
inline constexpr int kKvGroup8 = 64, kKvGroup4 = 32;
inline constexpr int kPageLane = 16;  // page_tokens is a multiple of this: tokens per vector of scores

// A weight matrix [rows, cols] in panel layout. Panel p holds rows [16p, 16p+16), zero-padded at the end.
struct PackedMatrix {
  DType type = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;  // panels() * PanelBytes(type, cols) bytes, 64-byte aligned
  const std::byte* wide = nullptr;  // the same weights as KernelTable::widen writes them, or none

  int64_t panels() const { return (rows + kPanelRows - 1) / kPanelRows; }
  // Whether KernelTable::matmul_wide takes it.
  bool HasWideGroups() const { return cols % kActivationGroup == 0; }
};

// Bytes of one packed panel (a multiple of 64).
size_t PanelBytes(DType type, int64_t cols);

// Activations quantized to int8 in groups of kActivationGroup: x = scale * q. All arrays are row-major with
// `cols` (values), cols/32 (scales) and cols/16 (sums) entries a row. REQUIRES: cols % 32 == 0.
struct QuantizedActivations {
  int64_t rows = 0;
  int64_t cols = 0;
  int8_t* values = nullptr;  // [rows, cols]
  float* scales = nullptr;   // [rows, cols / 32]
  int32_t* sums = nullptr;   // [rows, cols / 16]: sum of q over 16 values
};

// Activations rounded to bfloats in the order in which tiles read them: slabs of kBFloatSlab blocks of
// columns, in each the blocks of kBFloatRows rows, [slab][rows / 16][block of columns][16 rows][32 columns],
// so that what a sweep over one slab reads lies together. Columns past the last are zeros where their block
// has others; all else may hold anything.
inline constexpr int64_t kBFloatRows = 16, kBFloatCols = 32, kBFloatSlab = 16;
struct BFloatActivations {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_blocks = 0;       // that there is memory for
  std::byte* values = nullptr;  // Bytes(16 * row_blocks, cols), 64-byte aligned

  static constexpr int64_t kBlockBytes = kBFloatRows * kBFloatCols * 2;
  static int64_t RowBlocks(int64_t rows) { return (rows + kBFloatRows - 1) / kBFloatRows; }
  static int64_t ColumnBlocks(int64_t cols) { return (cols + kBFloatCols - 1) / kBFloatCols; }
  static int64_t Bytes(int64_t rows, int64_t cols) {
    const int64_t slabs = (ColumnBlocks(cols) + kBFloatSlab - 1) / kBFloatSlab;
    return slabs * RowBlocks(rows) * kBFloatSlab * kBlockBytes;
  }
  // Where blocks of rows and of columns meet; those of a slab follow each other.
  std::byte* Block(int64_t row_block, int64_t column_block) const {
    const int64_t slab = column_block / kBFloatSlab, in_slab = column_block % kBFloatSlab;
    return values + ((slab * row_blocks + row_block) * kBFloatSlab + in_slab) * kBlockBytes;
  }
};

// Activations as int8 in wide groups, with one scale for kWideGroup columns of a row: Hx = scale * q, where H
// is the orthonormal Hadamard matrix of kActivationGroup columns. Stored are q + KernelTable::wide_offset, in
// the order in which products read them, [slab][rows / 16][tile of columns][16 rows][64 columns], with their
// scales beside them, [slab][rows / 16][wide group][16 rows]. Columns past the last are zeros where their
// tile has others; all else may hold anything. REQUIRES: cols % kActivationGroup == 0.
inline constexpr int64_t kWideGroup = 256, kWideTileCols = 64, kWideSlabTiles = 16;
inline constexpr int64_t kWideGroupTiles = kWideGroup / kWideTileCols, kWideTileBytes = 16 * kWideTileCols;
struct WideActivations {
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_blocks = 0;    // that there is memory for
  int8_t* values = nullptr;  // ValueBytes(16 * row_blocks, cols), 64-byte aligned
  float* scales = nullptr;   // ScaleFloats(16 * row_blocks, cols)

  static int64_t Tiles(int64_t cols) { return (cols + kWideTileCols - 1) / kWideTileCols; }
  static int64_t Slabs(int64_t cols) { return (Tiles(cols) + kWideSlabTiles - 1) / kWideSlabTiles; }
  static int64_t RowBlocks(int64_t rows) { return (rows + 15) / 16; }
  static int64_t ValueBytes(int64_t rows, int64_t cols) {
    return Slabs(cols) * RowBlocks(rows) * kWideSlabTiles * kWideTileBytes;
  }
  static int64_t ScaleFloats(int64_t rows, int64_t cols) {
    return Slabs(cols) * RowBlocks(rows) * (kWideSlabTiles / kWideGroupTiles) * 16;
  }

  int64_t tiles() const { return Tiles(cols); }
  // Of a block of 16 rows; what belongs to a slab follows each other.
  int8_t* Tile(int64_t row_block, int64_t tile) const {
    const int64_t slab = tile / kWideSlabTiles, in_slab = tile % kWideSlabTiles;
    return values + ((slab * row_blocks + row_block) * kWideSlabTiles + in_slab) * kWideTileBytes;
  }
  float* Scales(int64_t row_block, int64_t group) const {
    constexpr int64_t kGroups = kWideSlabTiles / kWideGroupTiles;
    return scales + ((group / kGroups * row_blocks + row_block) * kGroups + group % kGroups) * 16;
  }
  int8_t* At(int64_t row, int64_t col) const {
    return Tile(row / 16, col / kWideTileCols) + row % 16 * kWideTileCols + col % kWideTileCols;
  }
  float* Scale(int64_t row, int64_t group) const { return Scales(row / 16, group) + row % 16; }
};

// Of a panel of weights in wide groups: [tile of columns][16 rows of 64 bytes], a byte a weight, and behind
// them the scales, [wide group][16 outputs].
inline size_t WidePanelBytes(int64_t cols) {
  return static_cast<size_t>(WideActivations::Tiles(cols)) * kWideTileBytes +
         static_cast<size_t>((cols + kWideGroup - 1) / kWideGroup) * kPanelRows * sizeof(float);
}

// The KV of one (sequence, KV head) for attention: tile pointers, one per page, in sequence order. Within a
// page of `page_tokens` tokens K is stored dimension-major, [head_dim][page_tokens], so that one vector holds
// one dimension of 16 tokens; V is token-major, [page_tokens][head_dim]. Codecs add scales (kv_codec.h).
struct AttentionPages {
  DType type = DType::kF16;  // one of KvTypes()
  int page_tokens = 16;
  int head_dim = 0;
  // Of pages first_page, first_page + 1, ...; page i covers positions [i * page_tokens, (i + 1) *
  // page_tokens). Those below a sliding window may be null and are not read.
  const std::byte* const* k_tiles = nullptr;
  const std::byte* const* v_tiles = nullptr;
  int64_t first_page = 0;

  const std::byte* k_tile(int64_t page) const { return k_tiles[page - first_page]; }
  const std::byte* v_tile(int64_t page) const { return v_tiles[page - first_page]; }
};

// One query row (one token, one query head): attends to positions [begin, end).
struct AttentionRow {
  const float* q = nullptr;  // [head_dim]
  float* out = nullptr;      // [head_dim], normalised
  float* lse = nullptr;      // log of the sum of exp of the scaled scores; -inf for an empty range
  int64_t begin = 0;
  int64_t end = 0;
};

struct AttentionParams {
  float scale = 1.0f;
  float softcap = 0.0f;  // 0: off; else scores become softcap * tanh(score / softcap)
};

// Positions per partial result. Partials start at absolute multiples of it, so the order of the reduction
// depends on the position only.
inline constexpr int64_t kAttentionSplit = 512;

struct KernelTable {
  std::string_view name;  // "generic", "avx2", "avx512", "avx512_bf16", "amx"

  // -- Weights --------------------------------------------------------------------------------------------
  // Dequantizes `n` elements that start at a block boundary.
  void (*dequantize)(DType type, const std::byte* src, float* dst, int64_t n);
  // Packs panels [panel_begin, panel_end) of the row-major matrix `src` of `rows` x `cols` into `dst`, the
  // start of the whole packed matrix.
  void (*pack)(DType type, const std::byte* src, int64_t rows, int64_t cols, int64_t panel_begin,
               int64_t panel_end, std::byte* dst);

  // -- Products -------------------------------------------------------------------------------------------
  // Quantizes row `row` of x: scale = max|x| / 127, round to nearest even.
  void (*quantize_row)(const float* x, int64_t row, const QuantizedActivations& out);
  // y[r, o] = sum_k x[r, k] * w[o, k] for the outputs o of panels [panel_begin, panel_end) and every row r.
  // y has `y_stride` floats a row; padding outputs of the last panel are not written.
  void (*matmul_q8)(const PackedMatrix& w, int64_t panel_begin, int64_t panel_end,
                    const QuantizedActivations& x, float* y, int64_t y_stride);
  void (*matmul_f32)(const PackedMatrix& w, int64_t panel_begin, int64_t panel_end, const float* x,
                     int64_t x_stride, int64_t rows, float* y, int64_t y_stride);
  // The same with bfloats, to which plain weights are rounded as they are read. Null where a processor has no
  // fast instructions for it.
  void (*matmul_bf16)(const PackedMatrix& w, int64_t panel_begin, int64_t panel_end,
                      const BFloatActivations& x, float* y, int64_t y_stride);
  // Rounds columns [begin, end) of row `row`, which are x[0 .. end - begin), to bfloats, and fills the last
  // block of columns with zeros. REQUIRES: begin % kBFloatCols == 0, and end too unless it is the number of
  // columns.
  void (*round_columns)(const float* x, int64_t row, int64_t begin, int64_t end,
                        const BFloatActivations& out);
  // The same with wide groups: weights of any type are rounded to int8 with one scale for kWideGroup columns
  // of an output, those of w.wide, or where there are none, as they are read. Null where no instructions for
  // int8 make it fast. REQUIRES: w.HasWideGroups().
  void (*matmul_wide)(const PackedMatrix& w, int64_t panel_begin, int64_t panel_end, const WideActivations& x,
                      float* y, int64_t y_stride);
  // Quantizes columns [begin, end) of row `row`, which are x[0 .. end - begin). REQUIRES: begin % kWideGroup
  // == 0, and end too unless it is the number of columns.
  void (*quantize_wide)(const float* x, int64_t row, int64_t begin, int64_t end, const WideActivations& out);
  // Writes wide groups of panels [panel_begin, panel_end) to `wide`, which has memory for all panels of the
  // matrix, WidePanelBytes each, 64-byte aligned. Null where matmul_wide is. REQUIRES: w.HasWideGroups().
  void (*widen)(const PackedMatrix& w, int64_t panel_begin, int64_t panel_end, std::byte* wide);
  int wide_offset;  // of WideActivations: 0, or 128 where products want unsigned values

  // -- Attention ------------------------------------------------------------------------------------------
  // Writes one token's K and V (head_dim floats each) into token slot `slot` of a page's tiles.
  void (*store_kv)(DType type, int page_tokens, int head_dim, int slot, const float* k, const float* v,
                   std::byte* k_tile, std::byte* v_tile);
  // Reads one token back, as the floats that attention takes it for.
  void (*load_kv)(DType type, int page_tokens, int head_dim, int slot, const std::byte* k_tile,
                  const std::byte* v_tile, float* k, float* v);
  // Attention of rows that share one KV head, over one range of pages: page indices are absolute, and every
  // row's [begin, end) must lie inside one split of kAttentionSplit positions. K and V are read once per
  // small block of rows. `scratch` has AttentionScratchFloats(rows.size(), head_dim) floats.
  void (*attention)(const AttentionPages& pages, const AttentionParams& params,
                    std::span<const AttentionRow> rows, float* scratch);
  // The same, where the processor multiplies bfloats: queries, keys, weights and values rounded to them.
  // Elsewhere attention.
  void (*attention_bf16)(const AttentionPages& pages, const AttentionParams& params,
                         std::span<const AttentionRow> rows, float* scratch);
  // Adds one more partial result of a row to what out and *lse hold of it: the running softmax of Rabe and
  // Staats 2021, section 2, whose memory does not grow with the number of partial results.
  void (*merge_partial)(const float* part, float part_lse, int64_t head_dim, float* out, float* lse);

  // The highest score, before scaling, that one of the keys which extremes (page_summary.h) are of can have
  // with each query: bounds[query][extremes]. `queries` are [count, head_dim].
  void (*bound_scores)(std::span<const std::byte* const> extremes, int64_t head_dim, const float* queries,
                       int64_t count, float* bounds);
  // The highest score, before scaling, of a key of each page with each query, as the keys' codes
  // (page_summary.h) estimate it: best[query][page]. `scratch` has AttentionScratchFloats(count, head_dim)
  // floats.
  void (*score_keys)(std::span<const std::byte* const> codes, int page_tokens, int head_dim,
                     const float* queries, int64_t count, float* scratch, float* best);

  // -- Element-wise ---------------------------------------------------------------------------------------
  // y = x / sqrt(mean(x^2) + epsilon) * (weight + weight_offset)
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float epsilon, float weight_offset,
                   float* y);
  void (*add)(float* x, const float* y, int64_t n);                           // x += y
  void (*scale)(float* x, float factor, int64_t n);                           // x *= factor
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* y);  // y = silu(gate) * up
  void (*gelu_tanh_mul)(const float* gate, const float* up, int64_t n, float* y);
  void (*softcap)(float* x, float cap, int64_t n);  // x = cap * tanh(x / cap)
  // Rotates `head_dim` values in place by cos/sin tables of rotary_dim/2 entries. `interleaved` pairs
  // (2i, 2i+1); otherwise (i, i + rotary_dim/2). Dimensions past rotary_dim are left alone.
  void (*rope)(float* head, const float* cos, const float* sin, int64_t rotary_dim, bool interleaved);
  // Returns log(sum(exp(x))) and, when `max_index` is not null, the first index of the maximum.
  float (*log_sum_exp)(const float* x, int64_t n, int64_t* max_index);
};

// Whether matmul_bf16 of a table takes weights of a type.
bool MultipliesBFloats(const KernelTable& kernels, DType weights);

// Tokens that the kernels keep converted at most, for few rows; for more rows some keep a whole split.
inline constexpr int64_t kAttentionTileTokens = 64;
inline constexpr int64_t kAttentionFewRows = 32;
// Positions whose scores tiles keep at a time.
inline constexpr int64_t kAttentionSpan = 256;
size_t AttentionScratchFloats(size_t rows, int head_dim);

// The fastest table this processor and operating system can run, or the one QUIRE_FORCE_ISA names (an unknown
// or unsupported name is reported on stderr and ignored). `generic` runs everywhere.
const KernelTable& BestKernels();

// Every table that can run here, slowest (generic) first: for tests and `quire doctor`.
std::vector<const KernelTable*> SupportedKernels();

}  // namespace quire

#endif  // QUIRE_KERNELS_KERNELS_H_

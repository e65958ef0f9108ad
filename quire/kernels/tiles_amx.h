// AMX: eight tile registers of up to 16 rows of 64 bytes, and instructions that multiply a tile of 16 rows of
// activations with one of weights and add the products to a third tile. A tile of weights is a slice of a
// panel: its rows hold, for each of 16 outputs, four int8 columns or a pair of bfloat columns.
//
// Here tiles 0..3 hold sums, 4 and 5 activations, 6 and 7 weights. A product takes 16 cycles, however few
// columns it has, fewer where the activations have fewer rows; its sums can be read some 52 cycles later.
// Tiles are not renamed: a sum should be stored, or its tile used again, only after three other products
// began. While a product runs, of the two units for 512-bit floats only one is free.
//
// Written in assembly because g++ 12 believes that its intrinsics touch less memory than they do: stores to
// what they read are then dropped as dead.
#ifndef QUIRE_KERNELS_TILES_AMX_H_
#define QUIRE_KERNELS_TILES_AMX_H_

#include <cstdint>

namespace quire {
namespace {

constexpr int kTileRows16 = 16;                // most rows of a tile
constexpr int kTileBytes = 64;                 // most bytes of a row
constexpr int kTilePairs = 16;                 // pairs of bfloats of a row
constexpr int kActivations = 4, kWeights = 6;  // the first tile of each

// The tiles' shapes on this thread while it lives. Activations have `rows` rows of `activation_bytes`,
// weights what such rows meet. Tiles are empty before and after, so that the system need not save them.
class TileShapes {
 public:
  TileShapes(int64_t rows, int activation_bytes) {
    struct alignas(64) Config {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int tile = 0; tile < 8; ++tile) {
      config.row_bytes[tile] =
          static_cast<uint16_t>(tile / 2 == kActivations / 2 ? activation_bytes : kTileBytes);
      config.rows[tile] = static_cast<uint8_t>(tile < kWeights ? rows : activation_bytes / 4);
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
  }
  ~TileShapes() { __asm__ volatile("tilerelease" : : : "memory"); }
  TileShapes(const TileShapes&) = delete;
  TileShapes& operator=(const TileShapes&) = delete;
};

template <int kTile>
void ZeroTile() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// Rows `stride` bytes apart.
template <int kTile>
void LoadTile(const void* rows, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(rows), "r"(stride), "i"(kTile) : "memory");
}
// The same of what is read once: it stays in the second-level cache and pushes nothing out of the first.
template <int kTile>
void LoadTileOnce(const void* rows, int64_t stride) {
  __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(rows), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
void StoreTile(void* rows, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(rows), "r"(stride), "i"(kTile) : "memory");
}
// Sums of 32 bits += activations times weights, four columns at a time, both signed; exact.
template <int kSum, int kX, int kW>
void AddInt8Products() {
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kX), "i"(kW));
}
// Sums of floats += activations times weights, a pair of columns at a time, first and second apart and then
// both together; subnormal numbers count as zero.
template <int kSum, int kX, int kW>
void AddBFloatProducts() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kX), "i"(kW));
}

}  // namespace
}  // namespace quire

#endif  // QUIRE_KERNELS_TILES_AMX_H_

// Weights as the products read them. A panel is 16 output features (rows of the matrix, "lanes" here); panels
// follow each other, and inside a panel memory is read strictly forwards.
//
// Plain types: [cols][16] elements, so one vector is one input position of 16 outputs.
//
// Quantized types: a sequence of PackedBlock<T>, each one block of columns (32 or 256) of all 16 rows. A
// block has the scales of its rows, lane by lane, and a group of codes per 32 columns. Codes are unsigned
// (the signed code plus kOffset) and come as 8 "quads": quad j is 64 bytes, [16 lanes][4 columns], holding
// columns 4j .. 4j+3. That is the operand of VPDPBUSD and of an AMX tile row: four columns times four
// broadcast activations, summed into 16 32-bit lanes. Codes of fewer than 8 bits are cut into planes:
//   full8[8][64]  the 8 quads
//   low4[4][64]   bits 0..3: quad 2i in the low nibbles of vector i, quad 2i + 1 in the high ones
//   low2[2][64]   bits 0..1: quad 4i + k in crumb k of vector i
//   high1[64]     the next bit up: quad j in bit j
//   high2[2][64]  the next two bits up: quad 4i + k in crumb k of vector i
// A weight is scale * (code - kOffset) + min, where scale and min come from the float scales and, for
// K-quants, the small integers beside each group. Nothing is rounded: a packed weight dequantizes to the same
// float as its GGUF block.
//
// Only plain structs live here: this header is compiled for every instruction set (see kernel_tables.h).
#ifndef QUIRE_KERNELS_PACKED_MATRIX_H_
#define QUIRE_KERNELS_PACKED_MATRIX_H_

#include <cstdint>

#include "quire/kernels/dtype.h"

namespace quire {

template <DType T>
struct PackedBlock;

template <>
struct PackedBlock<DType::kQ4_0> {
  static constexpr int kGroups = 1, kScalesPerGroup = 1, kOffset = 8, kBits = 4;
  static constexpr bool kHasMin = false;
  uint16_t d[16];
  struct Group {
    uint8_t low4[4][64];
  } groups[kGroups];
};

template <>
struct PackedBlock<DType::kQ4_1> {
  static constexpr int kGroups = 1, kScalesPerGroup = 1, kOffset = 0, kBits = 4;
  static constexpr bool kHasMin = true;
  uint16_t d[16];
  uint16_t m[16];
  struct Group {
    uint8_t low4[4][64];
  } groups[kGroups];
};

template <>
struct PackedBlock<DType::kQ5_0> {
  static constexpr int kGroups = 1, kScalesPerGroup = 1, kOffset = 16, kBits = 5;
  static constexpr bool kHasMin = false;
  uint16_t d[16];
  struct Group {
    uint8_t high1[64];
    uint8_t low4[4][64];
  } groups[kGroups];
};

template <>
struct PackedBlock<DType::kQ5_1> {
  static constexpr int kGroups = 1, kScalesPerGroup = 1, kOffset = 0, kBits = 5;
  static constexpr bool kHasMin = true;
  uint16_t d[16];
  uint16_t m[16];
  struct Group {
    uint8_t high1[64];
    uint8_t low4[4][64];
  } groups[kGroups];
};

template <>
struct PackedBlock<DType::kQ8_0> {
  static constexpr int kGroups = 1, kScalesPerGroup = 1, kOffset = 128, kBits = 8;
  static constexpr bool kHasMin = false;
  uint16_t d[16];
  struct Group {
    uint8_t full8[8][64];
  } groups[kGroups];
};

template <>
struct PackedBlock<DType::kQ2_K> {
  static constexpr int kGroups = 8, kScalesPerGroup = 2, kOffset = 0, kBits = 2;
  static constexpr bool kHasMin = true;
  uint16_t d[16];
  uint16_t dmin[16];
  struct Group {
    uint8_t scale_min[2][16];  // scale in the low nibble, min in the high one
    uint8_t low2[2][64];
  } groups[kGroups];
};

template <>
struct PackedBlock<DType::kQ3_K> {
  static constexpr int kGroups = 8, kScalesPerGroup = 2, kOffset = 4, kBits = 3;
  static constexpr bool kHasMin = false;
  uint16_t d[16];
  struct Group {
    int8_t scale[2][16];
    uint8_t high1[64];
    uint8_t low2[2][64];
  } groups[kGroups];
};

template <>
struct PackedBlock<DType::kQ4_K> {
  static constexpr int kGroups = 8, kScalesPerGroup = 1, kOffset = 0, kBits = 4;
  static constexpr bool kHasMin = true;
  uint16_t d[16];
  uint16_t dmin[16];
  struct Group {
    uint8_t scale[16];
    uint8_t min[16];
    uint8_t low4[4][64];
  } groups[kGroups];
};

template <>
struct PackedBlock<DType::kQ5_K> {
  static constexpr int kGroups = 8, kScalesPerGroup = 1, kOffset = 0, kBits = 5;
  static constexpr bool kHasMin = true;
  uint16_t d[16];
  uint16_t dmin[16];
  struct Group {
    uint8_t scale[16];
    uint8_t min[16];
    uint8_t high1[64];
    uint8_t low4[4][64];
  } groups[kGroups];
};

template <>
struct PackedBlock<DType::kQ6_K> {
  static constexpr int kGroups = 8, kScalesPerGroup = 2, kOffset = 32, kBits = 6;
  static constexpr bool kHasMin = false;
  uint16_t d[16];
  struct Group {
    int8_t scale[2][16];
    uint8_t high2[2][64];
    uint8_t low4[4][64];
  } groups[kGroups];
};

}  // namespace quire

#endif  // QUIRE_KERNELS_PACKED_MATRIX_H_

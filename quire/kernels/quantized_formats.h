// GGUF's quantized blocks as they lie in a file: `kElements` weights of one row that share their scales. Half
// floats are kept as their bits. "Group g" below is the elements [32g, 32g + 32) of a block.
//
// Only plain structs live here: this header is compiled for every instruction set (see kernel_tables.h).
#ifndef QUIRE_KERNELS_QUANTIZED_FORMATS_H_
#define QUIRE_KERNELS_QUANTIZED_FORMATS_H_

#include <cstdint>

#include "quire/kernels/dtype.h"

namespace quire {

template <DType T>
struct GgufBlock;

// w = d * (q - 8). Element i < 16 is the low nibble of qs[i], element 16 + i the high one.
template <>
struct GgufBlock<DType::kQ4_0> {
  static constexpr int kElements = 32;
  uint16_t d;
  uint8_t qs[16];
};

// w = d * q + m; nibbles as in Q4_0.
template <>
struct GgufBlock<DType::kQ4_1> {
  static constexpr int kElements = 32;
  uint16_t d;
  uint16_t m;
  uint8_t qs[16];
};

// w = d * (q - 16); nibbles as in Q4_0, bit 4 of element i is bit i of the little-endian word qh.
template <>
struct GgufBlock<DType::kQ5_0> {
  static constexpr int kElements = 32;
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};

// w = d * q + m; bits as in Q5_0.
template <>
struct GgufBlock<DType::kQ5_1> {
  static constexpr int kElements = 32;
  uint16_t d;
  uint16_t m;
  uint8_t qh[4];
  uint8_t qs[16];
};

// w = d * q.
template <>
struct GgufBlock<DType::kQ8_0> {
  static constexpr int kElements = 32;
  uint16_t d;
  int8_t qs[32];
};

// w = d * (scales[e / 16] & 15) * q - dmin * (scales[e / 16] >> 4). Element l of group g is the crumb (two
// bits) g % 4 of qs[32 * (g / 4) + l].
template <>
struct GgufBlock<DType::kQ2_K> {
  static constexpr int kElements = 256;
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d;
  uint16_t dmin;
};

// w = d * (scale[e / 16] - 32) * (q - 4). Low two bits as in Q2_K; bit 2 of element l of group g is bit g of
// hmask[l]. The 16 six-bit scales: low nibbles of bytes 0..7, then their high nibbles; bits 4 and 5 of scale
// i are crumb i / 4 of byte 8 + i % 4.
template <>
struct GgufBlock<DType::kQ3_K> {
  static constexpr int kElements = 256;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;
};

// w = d * scale[g] * q - dmin * min[g]. Element l of group g is the nibble g % 2 of qs[32 * (g / 2) + l].
// Scales and mins have six bits: bytes 0..3 and 4..7 hold those of groups 0..3 in their low bits; for group g
// >= 4 the low and high nibble of byte 4 + g, with two more bits from the top of bytes g - 4 and g.
template <>
struct GgufBlock<DType::kQ4_K> {
  static constexpr int kElements = 256;
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};

// As Q4_K; bit 4 of element l of group g is bit g of qh[l].
template <>
struct GgufBlock<DType::kQ5_K> {
  static constexpr int kElements = 256;
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

// w = d * scales[e / 16] * (q - 32). For group g of half h = g / 4: low nibbles from ql[64h + 32 * (g % 2) +
// l], the low ones for g % 4 < 2, else the high ones; bits 4 and 5 are crumb g % 4 of qh[32h + l].
template <>
struct GgufBlock<DType::kQ6_K> {
  static constexpr int kElements = 256;
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};

static_assert(sizeof(GgufBlock<DType::kQ4_0>) == 18 && sizeof(GgufBlock<DType::kQ4_1>) == 20);
static_assert(sizeof(GgufBlock<DType::kQ5_0>) == 22 && sizeof(GgufBlock<DType::kQ5_1>) == 24);
static_assert(sizeof(GgufBlock<DType::kQ8_0>) == 34 && sizeof(GgufBlock<DType::kQ2_K>) == 84);
static_assert(sizeof(GgufBlock<DType::kQ3_K>) == 110 && sizeof(GgufBlock<DType::kQ4_K>) == 144);
static_assert(sizeof(GgufBlock<DType::kQ5_K>) == 176 && sizeof(GgufBlock<DType::kQ6_K>) == 210);

}  // namespace quire

#endif  // QUIRE_KERNELS_QUANTIZED_FORMATS_H_

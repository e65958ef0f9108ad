// The vectors that the shared kernel bodies (*.inc) are written with, in plain C++. lanes_avx2.h and
// lanes_avx512.h define the same names with the same meaning; each <isa>.cc includes exactly one of them.
//
//   Floats  16 floats
//   Ints    16 32-bit integers
//   Words   16 times two 16-bit integers
//   Bytes   64 unsigned bytes (a quad, see packed_matrix.h)
//
// Min and Max return their second operand when either is NaN. Reductions add or compare halves: lane i with
// lane i + 8, then i + 4, i + 2, i + 1.
#ifndef QUIRE_KERNELS_LANES_GENERIC_H_
#define QUIRE_KERNELS_LANES_GENERIC_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quire/kernels/numbers.inc"

namespace quire {
namespace {

constexpr int kMatmulRows = 4;       // activation rows a product keeps in registers,
constexpr int kMatmulPanels = 1;     // each with so many panels,
constexpr bool kHoldsCodes = false;  // and whether beside them a group's codes of those panels
constexpr int kAttentionRows = 4;    // query rows attention keeps in registers

struct Floats {
  float v[16];
};
struct Ints {
  int32_t v[16];
};
struct Words {
  int16_t v[32];
};
struct Bytes {
  uint8_t v[64];
};

template <class Fn>
Floats Map(Fn fn) {
  Floats out;
  for (int i = 0; i < 16; ++i) out.v[i] = fn(i);
  return out;
}

// -- Floats: memory ---------------------------------------------------------------------------------------
Floats Splat(float x) {
  return Map([&](int) { return x; });
}
Floats SplatAt(const float* p) { return Splat(*p); }
template <class T>
Floats Load(const T* p) {
  return Map([&](int i) { return ToFloat(p[i]); });
}
template <class T>  // the first n lanes from memory, the rest zero
Floats LoadFirst(const T* p, int64_t n) {
  return Map([&](int i) { return i < n ? ToFloat(p[i]) : 0.0f; });
}
void Store(float* p, Floats a) { std::memcpy(p, a.v, sizeof(a.v)); }
template <class T>  // to a half or bfloat16, rounding to nearest even
void Store(T* p, Floats a) {
  for (int i = 0; i < 16; ++i) FromFloat(a.v[i], &p[i]);
}
// Past the caches where there are instructions for it. REQUIRES: p is 64-byte aligned; FinishStreams follows.
void StoreStreamed(float* p, Floats a) { Store(p, a); }
void FinishStreams() {}
void StoreFirst(float* p, Floats a, int64_t n) {
  for (int i = 0; i < 16 && i < n; ++i) p[i] = a.v[i];
}

// -- Floats: arithmetic -----------------------------------------------------------------------------------
Floats Add(Floats a, Floats b) {
  return Map([&](int i) { return a.v[i] + b.v[i]; });
}
Floats Sub(Floats a, Floats b) {
  return Map([&](int i) { return a.v[i] - b.v[i]; });
}
Floats Mul(Floats a, Floats b) {
  return Map([&](int i) { return a.v[i] * b.v[i]; });
}
Floats Div(Floats a, Floats b) {
  return Map([&](int i) { return a.v[i] / b.v[i]; });
}
Floats Fma(Floats a, Floats b, Floats c) {  // a * b + c; here, and only here, with two roundings
  return Map([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
Floats Min(Floats a, Floats b) {
  return Map([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
Floats Max(Floats a, Floats b) {
  return Map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
Floats Abs(Floats a) {
  return Map([&](int i) { return __builtin_fabsf(a.v[i]); });
}
Floats Round(Floats a) {                 // to nearest even; REQUIRES: |a| < 2^22
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it leaves no fraction bits
  return Map([&](int i) { return (a.v[i] + kMagic) - kMagic; });
}
Floats ScaleByPowerOf2(Floats a, Floats n) {  // a * 2^n; REQUIRES: n whole, |n| < 250
  return Map([&](int i) {
    const int whole = static_cast<int>(n.v[i] == n.v[i] ? n.v[i] : 0.0f);
    const int half = whole >> 1;
    return a.v[i] * PowerOf2(half) * PowerOf2(whole - half);
  });
}
Floats SelectLess(Floats a, Floats b, Floats yes, Floats no) {  // a < b ? yes : no
  return Map([&](int i) { return a.v[i] < b.v[i] ? yes.v[i] : no.v[i]; });
}
Floats KeepRange(Floats a, int64_t begin, int64_t end, Floats other) {  // lanes [begin, end) of a, else other
  return Map([&](int i) { return begin <= i && i < end ? a.v[i] : other.v[i]; });
}
float SumOf(Floats a) {
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) a.v[i] += a.v[i + n];
  return a.v[0];
}
float MaxOf(Floats a) {
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) a.v[i] = a.v[i] > a.v[i + n] ? a.v[i] : a.v[i + n];
  return a.v[0];
}

// -- Quantization of activations --------------------------------------------------------------------------
// The largest magnitude of 32 floats. Infinity and NaN count as larger than any number.
float MaxMagnitude(Floats a, Floats b) {
  uint32_t max = 0;
  for (int i = 0; i < 16; ++i) {
    const uint32_t bits_a = BitsOf(a.v[i]) & 0x7fffffff, bits_b = BitsOf(b.v[i]) & 0x7fffffff;
    const uint32_t bits = bits_a > bits_b ? bits_a : bits_b;
    max = bits > max ? bits : max;
  }
  return FloatOfBits(max);
}
// Stores round(a) as int8 and returns the sum of the stored values. REQUIRES: |a| <= 127.
int32_t StoreInt8(int8_t* p, Floats a) {
  const Floats rounded = Round(a);
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) {
    p[i] = static_cast<int8_t>(rounded.v[i]);
    sum += p[i];
  }
  return sum;
}
// The same as 16-bit integers. REQUIRES: |a| <= 32767.
int32_t StoreWords(int16_t* p, Floats a) {
  const Floats rounded = Round(a);
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) {
    p[i] = static_cast<int16_t>(rounded.v[i]);
    sum += p[i];
  }
  return sum;
}

// -- Ints, Words, Bytes -----------------------------------------------------------------------------------
Ints SplatInt(int32_t x) {
  Ints out;
  for (int32_t& lane : out.v) lane = x;
  return out;
}
Floats ToFloats(Ints a) {
  return Map([&](int i) { return static_cast<float>(a.v[i]); });
}
// n * scale where a is kIntegerZeroBits + n and shift is -kIntegerZero * scale (numbers.inc).
Floats ScaleIntegers(Ints a, Floats scale, Floats) {
  return Map([&](int i) { return static_cast<float>(a.v[i] - kIntegerZeroBits) * scale.v[i]; });
}
Floats FloatsOf(const uint8_t* p) {
  return Map([&](int i) { return static_cast<float>(p[i]); });
}
Floats FloatsOf(const int8_t* p) {
  return Map([&](int i) { return static_cast<float>(p[i]); });
}
template <int kDistance>  // 1, 2, 4 or 8: lane i of the result is lane i ^ kDistance
Floats SwapLanes(Floats a) {
  return Map([&](int i) { return a.v[i ^ kDistance]; });
}
// 32 bytes, widened.
Words LoadWords(const int8_t* p) {
  Words out;
  for (int i = 0; i < 32; ++i) out.v[i] = p[i];
  return out;
}
// The low and the high halves of 32 bytes, widened.
void LoadNibbles(const uint8_t* p, Words& low, Words& high) {
  for (int i = 0; i < 32; ++i) {
    low.v[i] = p[i] & 15;
    high.v[i] = p[i] >> 4;
  }
}
Words SplatWords(const int16_t* p) {  // two of them, in every lane
  Words out;
  for (int i = 0; i < 32; ++i) out.v[i] = p[i % 2];
  return out;
}
// sum + a.first * b.first + a.second * b.second; wraps around.
Ints DotWords(Words a, Words b, Ints sum) {
  for (int i = 0; i < 16; ++i) sum.v[i] += a.v[2 * i] * b.v[2 * i] + a.v[2 * i + 1] * b.v[2 * i + 1];
  return sum;
}
Bytes LoadBytes(const uint8_t* p) {
  Bytes out;
  std::memcpy(out.v, p, sizeof(out.v));
  return out;
}
// base | ((plane >> shift) & mask) in every byte; a negative shift goes left. Shifts run over wider words, so
// the mask must drop the bits that come from a neighbour.
template <int kShift, int kMask>
Bytes InsertField(Bytes base, Bytes plane) {
  for (int i = 0; i < 64; ++i) {
    const int shifted = kShift >= 0 ? plane.v[i] >> (kShift & 7) : plane.v[i] << (-kShift & 7);
    base.v[i] = static_cast<uint8_t>(base.v[i] | (shifted & kMask));
  }
  return base;
}
template <int kShift, int kMask>
Bytes Field(Bytes plane) {
  return InsertField<kShift, kMask>(Bytes{}, plane);
}
template <int kColumn>  // byte kColumn of every lane's four
Floats ColumnOf(Bytes quad) {
  return Map([&](int i) { return static_cast<float>(quad.v[4 * i + kColumn]); });
}

// acc[p][r] += the products of kQuads quads of codes of panel p, each below 2^kBits, with 4 * kQuads
// activations of row r.
template <int kBits, int kQuads, int kPanels, int kRows>
void DotQuads(const Bytes* const (&codes)[kPanels], const int8_t* x, int64_t x_stride,
              Ints (&acc)[kPanels][kRows]) {
  for (int p = 0; p < kPanels; ++p)
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kQuads; ++j)
        for (int i = 0; i < 16; ++i)
          for (int k = 0; k < 4; ++k)
            acc[p][r].v[i] += codes[p][j].v[4 * i + k] * x[r * x_stride + 4 * j + k];
}

void PrefetchToL1(const void* p) { __builtin_prefetch(p, 0, 3); }
void PrefetchToL2(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace
}  // namespace quire

#endif  // QUIRE_KERNELS_LANES_GENERIC_H_

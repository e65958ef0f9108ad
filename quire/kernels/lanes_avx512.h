// The vectors of lanes_generic.h, one AVX-512 register each.
#ifndef QUIRE_KERNELS_LANES_AVX512_H_
#define QUIRE_KERNELS_LANES_AVX512_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quire/kernels/numbers.inc"

namespace quire {
namespace {

// A product keeps the integer sums of so many activation rows times so many panels in registers, and a
// group's codes of those panels.
constexpr int kMatmulRows = 4, kMatmulPanels = 2;
constexpr bool kHoldsCodes = true;
constexpr int kAttentionRows = 8;  // query rows attention keeps in registers

struct Floats {
  __m512 v;
};
struct Ints {
  __m512i v;
};
struct Words {
  __m512i v;
};
struct Bytes {
  __m512i v;
};

// The first n of 16 lanes.
__mmask16 FirstLanes(int64_t n) {
  const int64_t clamped = n < 0 ? 0 : n > 16 ? 16 : n;
  return static_cast<__mmask16>((1u << clamped) - 1);
}

// -- Floats: memory ---------------------------------------------------------------------------------------
Floats FromBFloats(__m256i bits) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}

Floats Splat(float x) { return {_mm512_set1_ps(x)}; }
// In the integers' way: of those broadcasts the processor loads two a cycle, of floats only one.
Floats SplatAt(const float* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return {_mm512_castsi512_ps(_mm512_set1_epi32(bits))};
}
Floats Load(const float* p) { return {_mm512_loadu_ps(p)}; }
Floats Load(const Half* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
Floats Load(const BFloat* p) { return FromBFloats(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
Floats FromFp8(__m128i codes) {  // a half's upper bits, of which the second is zero
  const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepi8_epi16(codes), 7);
  return {_mm512_cvtph_ps(_mm256_and_si256(shifted, _mm256_set1_epi16(static_cast<int16_t>(0xbfff))))};
}
Floats Load(const Fp8* p) { return FromFp8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
Floats LoadFirst(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(FirstLanes(n), p)}; }
Floats LoadFirst(const Half* p, int64_t n) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(FirstLanes(n), p))};
}
Floats LoadFirst(const BFloat* p, int64_t n) {
  return FromBFloats(_mm256_maskz_loadu_epi16(FirstLanes(n), p));
}
Floats LoadFirst(const Fp8* p, int64_t n) { return FromFp8(_mm_maskz_loadu_epi8(FirstLanes(n), p)); }
void Store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
void Store(Half* p, Floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
void Store(BFloat* p, Floats a) {
  float lanes[16];
  Store(lanes, a);
  for (int i = 0; i < 16; ++i) FromFloat(lanes[i], &p[i]);
}
void StoreStreamed(float* p, Floats a) { _mm512_stream_ps(p, a.v); }
void FinishStreams() { _mm_sfence(); }
void StoreFirst(float* p, Floats a, int64_t n) { _mm512_mask_storeu_ps(p, FirstLanes(n), a.v); }

// -- Floats: arithmetic -----------------------------------------------------------------------------------
Floats Add(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
Floats Sub(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
Floats Mul(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
Floats Div(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
Floats Fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
Floats Min(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
Floats Max(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
Floats Abs(Floats a) { return {_mm512_abs_ps(a.v)}; }
Floats Round(Floats a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
Floats ScaleByPowerOf2(Floats a, Floats n) { return {_mm512_scalef_ps(a.v, n.v)}; }
Floats SelectLess(Floats a, Floats b, Floats yes, Floats no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
Floats KeepRange(Floats a, int64_t begin, int64_t end, Floats other) {
  const auto keep = static_cast<__mmask16>(FirstLanes(end) & ~FirstLanes(begin));
  return {_mm512_mask_blend_ps(keep, other.v, a.v)};
}
float SumOf(Floats a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
float MaxOf(Floats a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// -- Quantization of activations --------------------------------------------------------------------------
float MaxMagnitude(Floats a, Floats b) {
  const __m512i bits_a = _mm512_castps_si512(_mm512_abs_ps(a.v)),
                bits_b = _mm512_castps_si512(_mm512_abs_ps(b.v));
  return FloatOfBits(_mm512_reduce_max_epu32(_mm512_max_epu32(bits_a, bits_b)));
}
int32_t StoreInt8(int8_t* p, Floats a) {
  const __m512i rounded = _mm512_cvtps_epi32(a.v);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(rounded));
  return _mm512_reduce_add_epi32(rounded);
}
int32_t StoreWords(int16_t* p, Floats a) {
  const __m512i rounded = _mm512_cvtps_epi32(a.v);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
  return _mm512_reduce_add_epi32(rounded);
}

// -- Ints, Words, Bytes -----------------------------------------------------------------------------------
Ints SplatInt(int32_t x) { return {_mm512_set1_epi32(x)}; }
Floats ToFloats(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
Floats ScaleIntegers(Ints a, Floats scale, Floats shift) {
  return Fma({_mm512_castsi512_ps(a.v)}, scale, shift);
}
Floats FloatsOf(const uint8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
Floats FloatsOf(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
Words LoadWords(const int8_t* p) {
  return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
void LoadNibbles(const uint8_t* p, Words& low, Words& high) {
  const __m512i words = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  low = {_mm512_and_si512(words, _mm512_set1_epi16(15))};
  high = {_mm512_srli_epi16(words, 4)};
}
Words SplatWords(const int16_t* p) {
  int32_t two;
  std::memcpy(&two, p, sizeof(two));
  return {_mm512_set1_epi32(two)};
}
Ints DotWords(Words a, Words b, Ints sum) { return {_mm512_dpwssd_epi32(sum.v, a.v, b.v)}; }
template <int kDistance>
Floats SwapLanes(Floats a) {
  if constexpr (kDistance == 8) return {_mm512_shuffle_f32x4(a.v, a.v, _MM_SHUFFLE(1, 0, 3, 2))};
  if constexpr (kDistance == 4) return {_mm512_shuffle_f32x4(a.v, a.v, _MM_SHUFFLE(2, 3, 0, 1))};
  if constexpr (kDistance == 2) return {_mm512_permute_ps(a.v, _MM_SHUFFLE(1, 0, 3, 2))};
  if constexpr (kDistance == 1) return {_mm512_permute_ps(a.v, _MM_SHUFFLE(2, 3, 0, 1))};
}
Bytes LoadBytes(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }

template <int kShift>
__m512i Shifted(__m512i a) {
  if constexpr (kShift > 0) return _mm512_srli_epi16(a, kShift);
  if constexpr (kShift < 0) return _mm512_slli_epi16(a, -kShift);
  return a;
}
template <int kShift, int kMask>
Bytes InsertField(Bytes base, Bytes plane) {
  constexpr int kOrAnd = 0xf8;  // the truth table of a | (b & c)
  return {_mm512_ternarylogic_epi32(base.v, Shifted<kShift>(plane.v), _mm512_set1_epi8(kMask), kOrAnd)};
}
template <int kShift, int kMask>
Bytes Field(Bytes plane) {
  return {_mm512_and_si512(Shifted<kShift>(plane.v), _mm512_set1_epi8(kMask))};
}
template <int kColumn>
Floats ColumnOf(Bytes quad) {
  const __m512i column = _mm512_and_si512(_mm512_srli_epi32(quad.v, 8 * kColumn), _mm512_set1_epi32(255));
  return {_mm512_cvtepi32_ps(column)};
}

template <int kBits, int kQuads, int kPanels, int kRows>
void DotQuads(const Bytes* const (&codes)[kPanels], const int8_t* x, int64_t x_stride,
              Ints (&acc)[kPanels][kRows]) {
  for (int j = 0; j < kQuads; ++j) {
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      std::memcpy(&four, x + r * x_stride + 4 * j, sizeof(four));
      const __m512i activations = _mm512_set1_epi32(four);
      for (int p = 0; p < kPanels; ++p) {
        acc[p][r].v = _mm512_dpbusd_epi32(acc[p][r].v, codes[p][j].v, activations);
      }
    }
  }
}

// In assembly: of a function that does nothing else, g++ drops the call.
void PrefetchToL1(const void* p) { __asm__ volatile("prefetcht0 (%0)" : : "r"(p)); }
void PrefetchToL2(const void* p) { __asm__ volatile("prefetcht1 (%0)" : : "r"(p)); }

}  // namespace
}  // namespace quire

#endif  // QUIRE_KERNELS_LANES_AVX512_H_

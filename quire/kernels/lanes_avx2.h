// The vectors of lanes_generic.h, two AVX2 registers each.
#ifndef QUIRE_KERNELS_LANES_AVX2_H_
#define QUIRE_KERNELS_LANES_AVX2_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quire/kernels/numbers.inc"

namespace quire {
namespace {

constexpr int kMatmulRows = 2;       // activation rows a product keeps in registers,
constexpr int kMatmulPanels = 1;     // each with so many panels,
constexpr bool kHoldsCodes = false;  // and whether beside them a group's codes of those panels
constexpr int kAttentionRows = 4;    // query rows attention keeps in registers

// Lanes 0..7 (bytes 0..31) and 8..15 (bytes 32..63).
struct Floats {
  __m256 low, high;
};
struct Ints {
  __m256i low, high;
};
struct Words {
  __m256i low, high;
};
struct Bytes {
  __m256i low, high;
};

// -- Floats: memory ---------------------------------------------------------------------------------------
__m128i Load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
__m256 FromBFloats(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

Floats Splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
Floats SplatAt(const float* p) { return Splat(*p); }
Floats Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
Floats Load(const Half* p) { return {_mm256_cvtph_ps(Load128(p)), _mm256_cvtph_ps(Load128(p + 8))}; }
Floats Load(const BFloat* p) { return {FromBFloats(Load128(p)), FromBFloats(Load128(p + 8))}; }
template <class T>
Floats LoadFirst(const T* p, int64_t n) {
  T lanes[16] = {};
  std::memcpy(lanes, p, (n < 16 ? n : 16) * sizeof(T));
  return Load(lanes);
}
void Store(float* p, Floats a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
void StoreStreamed(float* p, Floats a) {
  _mm256_stream_ps(p, a.low);
  _mm256_stream_ps(p + 8, a.high);
}
void FinishStreams() { _mm_sfence(); }
void Store(Half* p, Floats a) {
  auto* halves = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(halves, _mm256_cvtps_ph(a.low, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(halves + 1, _mm256_cvtps_ph(a.high, _MM_FROUND_TO_NEAREST_INT));
}
void Store(BFloat* p, Floats a) {
  float lanes[16];
  Store(lanes, a);
  for (int i = 0; i < 16; ++i) FromFloat(lanes[i], &p[i]);
}
void StoreFirst(float* p, Floats a, int64_t n) {
  if (n >= 16) return Store(p, a);
  float lanes[16];
  Store(lanes, a);
  std::memcpy(p, lanes, n * sizeof(float));
}

// -- Floats: arithmetic -----------------------------------------------------------------------------------
Floats Add(Floats a, Floats b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
Floats Sub(Floats a, Floats b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
Floats Mul(Floats a, Floats b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
Floats Div(Floats a, Floats b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
Floats Fma(Floats a, Floats b, Floats c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
Floats Min(Floats a, Floats b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
Floats Max(Floats a, Floats b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
Floats Abs(Floats a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
Floats Round(Floats a) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
}
__m256 PowersOf2(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
__m256 ScaleByPowerOf2(__m256 a, __m256 n) {  // in two steps: 2^n itself need not be a normal float
  const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
  return _mm256_mul_ps(_mm256_mul_ps(a, PowersOf2(half)), PowersOf2(_mm256_sub_epi32(whole, half)));
}
Floats ScaleByPowerOf2(Floats a, Floats n) {
  return {ScaleByPowerOf2(a.low, n.low), ScaleByPowerOf2(a.high, n.high)};
}
Floats SelectLess(Floats a, Floats b, Floats yes, Floats no) {
  return {_mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
          _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
}
// All ones in the lanes of [begin, end); lane 0 here is lane `first` of the vector.
__m256 RangeMask(int64_t begin, int64_t end, int first) {
  const auto clamp = [&](int64_t n) { return static_cast<int>(n < 0 ? 0 : n > 16 ? 16 : n) - first; };
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32(clamp(begin)), lane);
  const __m256i inside = _mm256_cmpgt_epi32(_mm256_set1_epi32(clamp(end)), lane);
  return _mm256_castsi256_ps(_mm256_andnot_si256(before, inside));
}
Floats KeepRange(Floats a, int64_t begin, int64_t end, Floats other) {
  return {_mm256_blendv_ps(other.low, a.low, RangeMask(begin, end, 0)),
          _mm256_blendv_ps(other.high, a.high, RangeMask(begin, end, 8))};
}
float SumOf(Floats a) {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
float MaxOf(Floats a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// -- Quantization of activations --------------------------------------------------------------------------
float MaxMagnitude(Floats a, Floats b) {
  const Floats abs_a = Abs(a), abs_b = Abs(b);
  const __m256i max_a = _mm256_max_epu32(_mm256_castps_si256(abs_a.low), _mm256_castps_si256(abs_a.high));
  const __m256i max_b = _mm256_max_epu32(_mm256_castps_si256(abs_b.low), _mm256_castps_si256(abs_b.high));
  const __m256i eight = _mm256_max_epu32(max_a, max_b);
  const __m128i four = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
  const __m128i one = _mm_max_epu32(two, _mm_shuffle_epi32(two, _MM_SHUFFLE(2, 3, 0, 1)));
  return FloatOfBits(static_cast<uint32_t>(_mm_cvtsi128_si32(one)));
}
int32_t SumOf(__m256i eight) {
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, _MM_SHUFFLE(2, 3, 0, 1))));
}
// Packing works within 128-bit halves: the lanes come out as 0-3, 8-11, 4-7, 12-15.
__m256i PackWords(__m256i low, __m256i high) {
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), _MM_SHUFFLE(3, 1, 2, 0));
}
int32_t StoreInt8(int8_t* p, Floats a) {
  const __m256i low = _mm256_cvtps_epi32(a.low), high = _mm256_cvtps_epi32(a.high);
  const __m256i words = PackWords(low, high);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  return SumOf(_mm256_add_epi32(low, high));
}
int32_t StoreWords(int16_t* p, Floats a) {
  const __m256i low = _mm256_cvtps_epi32(a.low), high = _mm256_cvtps_epi32(a.high);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), PackWords(low, high));
  return SumOf(_mm256_add_epi32(low, high));
}

// -- Ints, Words, Bytes -----------------------------------------------------------------------------------
Ints SplatInt(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
Floats ToFloats(Ints a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
Floats ScaleIntegers(Ints a, Floats scale, Floats shift) {
  return Fma({_mm256_castsi256_ps(a.low), _mm256_castsi256_ps(a.high)}, scale, shift);
}
Floats FloatsOf(const uint8_t* p) {
  const __m128i bytes = Load128(p);
  return ToFloats(Ints{_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))});
}
Floats FloatsOf(const int8_t* p) {
  const __m128i bytes = Load128(p);
  return ToFloats(Ints{_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))});
}
Floats Load(const Fp8* p) {  // a half's upper bits, of which the second is zero
  const __m256i shifted = _mm256_slli_epi16(_mm256_cvtepi8_epi16(Load128(p)), 7);
  const __m256i halves = _mm256_and_si256(shifted, _mm256_set1_epi16(static_cast<int16_t>(0xbfff)));
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(halves)),
          _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
}
Words LoadWords(const int8_t* p) {
  return {_mm256_cvtepi8_epi16(Load128(p)), _mm256_cvtepi8_epi16(Load128(p + 16))};
}
void LoadNibbles(const uint8_t* p, Words& low, Words& high) {
  const __m256i first = _mm256_cvtepu8_epi16(Load128(p)), second = _mm256_cvtepu8_epi16(Load128(p + 16));
  const __m256i nibble = _mm256_set1_epi16(15);
  low = {_mm256_and_si256(first, nibble), _mm256_and_si256(second, nibble)};
  high = {_mm256_srli_epi16(first, 4), _mm256_srli_epi16(second, 4)};
}
Words SplatWords(const int16_t* p) {
  int32_t two;
  std::memcpy(&two, p, sizeof(two));
  return {_mm256_set1_epi32(two), _mm256_set1_epi32(two)};
}
Ints DotWords(Words a, Words b, Ints sum) {
  return {_mm256_add_epi32(sum.low, _mm256_madd_epi16(a.low, b.low)),
          _mm256_add_epi32(sum.high, _mm256_madd_epi16(a.high, b.high))};
}
template <int kDistance>
Floats SwapLanes(Floats a) {
  if constexpr (kDistance == 8) return {a.high, a.low};
  if constexpr (kDistance == 4) {
    return {_mm256_permute2f128_ps(a.low, a.low, 1), _mm256_permute2f128_ps(a.high, a.high, 1)};
  }
  constexpr int kOrder = kDistance == 2 ? _MM_SHUFFLE(1, 0, 3, 2) : _MM_SHUFFLE(2, 3, 0, 1);
  return {_mm256_permute_ps(a.low, kOrder), _mm256_permute_ps(a.high, kOrder)};
}
Bytes LoadBytes(const uint8_t* p) {
  const auto* vectors = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(vectors), _mm256_loadu_si256(vectors + 1)};
}

template <int kShift, int kMask>
__m256i Field(__m256i a) {
  if constexpr (kShift > 0) a = _mm256_srli_epi16(a, kShift);
  if constexpr (kShift < 0) a = _mm256_slli_epi16(a, -kShift);
  return _mm256_and_si256(a, _mm256_set1_epi8(kMask));
}
template <int kShift, int kMask>
Bytes Field(Bytes plane) {
  return {Field<kShift, kMask>(plane.low), Field<kShift, kMask>(plane.high)};
}
template <int kShift, int kMask>
Bytes InsertField(Bytes base, Bytes plane) {
  const Bytes field = Field<kShift, kMask>(plane);
  return {_mm256_or_si256(base.low, field.low), _mm256_or_si256(base.high, field.high)};
}
template <int kColumn>
Floats ColumnOf(Bytes quad) {
  const __m256i byte = _mm256_set1_epi32(255);
  return ToFloats(Ints{_mm256_and_si256(_mm256_srli_epi32(quad.low, 8 * kColumn), byte),
                       _mm256_and_si256(_mm256_srli_epi32(quad.high, 8 * kColumn), byte)});
}

__m256i FourActivations(const int8_t* x) {
  int32_t four;
  std::memcpy(&four, x, sizeof(four));
  return _mm256_set1_epi32(four);
}
__m256i AddPairs(__m256i sum, __m256i words) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
}

// A 16-bit lane takes two products of a code below 2^kBits and an activation in [-127, 127] per quad; it is
// widened before it could overflow.
template <int kBits, int kQuads, int kRows>
void DotPanel(const Bytes* codes, const int8_t* x, int64_t x_stride, Ints* acc)
  requires(kBits < 8)
{
  constexpr int kFit = 32767 / (2 * 127 * ((1 << kBits) - 1));
  constexpr int kStep = kFit < kQuads ? kFit : kQuads;
  for (int r = 0; r < kRows; ++r) {
    for (int j0 = 0; j0 < kQuads; j0 += kStep) {
      __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
      for (int j = j0; j < j0 + kStep && j < kQuads; ++j) {
        const __m256i four = FourActivations(x + r * x_stride + 4 * j);
        low = _mm256_add_epi16(low, _mm256_maddubs_epi16(codes[j].low, four));
        high = _mm256_add_epi16(high, _mm256_maddubs_epi16(codes[j].high, four));
      }
      acc[r].low = AddPairs(acc[r].low, low);
      acc[r].high = AddPairs(acc[r].high, high);
    }
  }
}

// Products of 8-bit codes do not fit a 16-bit lane as they are. Taken as |w| times sign(w) * x with w = code
// - 128 they do: two are at most 2 * 128 * 127. What the offset adds, 128 per activation, is put back here
// because callers count on products of codes.
template <int kBits, int kQuads, int kRows>
void DotPanel(const Bytes* codes, const int8_t* x, int64_t x_stride, Ints* acc)
  requires(kBits == 8)
{
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(0x80));
  for (int r = 0; r < kRows; ++r) {
    __asm__("" : "+r"(codes));              // or what is computed of codes is kept, in memory
    __m256i sums = _mm256_setzero_si256();  // of the activations, in pairs, in every lane
    for (int j = 0; j < kQuads; ++j) {
      const __m256i four = FourActivations(x + r * x_stride + 4 * j);
      const __m256i low = _mm256_xor_si256(codes[j].low, offset),
                    high = _mm256_xor_si256(codes[j].high, offset);
      const auto dot = [&](__m256i w) {
        return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(four, w));
      };
      acc[r].low = AddPairs(acc[r].low, dot(low));
      acc[r].high = AddPairs(acc[r].high, dot(high));
      sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(_mm256_set1_epi8(1), four));
    }
    const __m256i correction = _mm256_slli_epi32(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)), 7);
    acc[r].low = _mm256_add_epi32(acc[r].low, correction);
    acc[r].high = _mm256_add_epi32(acc[r].high, correction);
  }
}

template <int kBits, int kQuads, int kPanels, int kRows>
void DotQuads(const Bytes* const (&codes)[kPanels], const int8_t* x, int64_t x_stride,
              Ints (&acc)[kPanels][kRows]) {
  for (int p = 0; p < kPanels; ++p) DotPanel<kBits, kQuads, kRows>(codes[p], x, x_stride, acc[p]);
}

// In assembly: of a function that does nothing else, g++ drops the call.
void PrefetchToL1(const void* p) { __asm__ volatile("prefetcht0 (%0)" : : "r"(p)); }
void PrefetchToL2(const void* p) { __asm__ volatile("prefetcht1 (%0)" : : "r"(p)); }

}  // namespace
}  // namespace quire

#endif  // QUIRE_KERNELS_LANES_AVX2_H_

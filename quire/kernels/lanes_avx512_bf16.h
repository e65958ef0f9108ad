// The vectors of lanes_avx512.h, and pairs of bfloats: VDPBF16PS multiplies 16 times two of them and adds
// both products to a float, so a register does twice the work of an FMA on floats.
#ifndef QUIRE_KERNELS_LANES_AVX512_BF16_H_
#define QUIRE_KERNELS_LANES_AVX512_BF16_H_

#include "quire/kernels/lanes_avx512.h"

namespace quire {
namespace {

// Two bfloats in memory, and 16 times two: lane i holds a first and a second element.
struct BFloatPair {
  BFloat first, second;
};
struct Pairs {
  __m512bh v;
};

__m512i WordsOf(__m512bh a) { return reinterpret_cast<__m512i>(a); }
Pairs PairsOf(__m512i words) { return {reinterpret_cast<__m512bh>(words)}; }

// Rounds to nearest even; lane i of the result is (first[i], second[i]).
Pairs PairUp(Floats first, Floats second) {
  // The conversion leaves 16 firsts and then 16 seconds.
  const __m512i apart = WordsOf(_mm512_cvtne2ps_pbh(second.v, first.v));
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return PairsOf(_mm512_permutexvar_epi16(order, apart));
}
// The same of 16 bfloats each.
[[maybe_unused]] Pairs PairUp(const BFloat* first, const BFloat* second) {
  const __m512i firsts = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first)));
  const __m512i seconds = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(second)));
  return PairsOf(_mm512_or_si512(firsts, _mm512_slli_epi32(seconds, 16)));
}
[[maybe_unused]] Pairs Load(const BFloatPair* p) { return PairsOf(_mm512_loadu_si512(p)); }
void Store(BFloatPair* p, Pairs a) { _mm512_storeu_si512(p, WordsOf(a.v)); }
// 16 consecutive floats as 8 pairs of neighbours.
[[maybe_unused]] void StoreNeighbours(BFloatPair* p, Floats a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a.v)));
}
// 32 consecutive floats as 16 pairs of neighbours.
[[maybe_unused]] void StoreNeighbours(BFloatPair* p, Floats a, Floats b) {
  _mm512_storeu_si512(p, WordsOf(_mm512_cvtne2ps_pbh(b.v, a.v)));
}
[[maybe_unused]] Pairs SplatPair(const BFloatPair* p) {
  int32_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return PairsOf(_mm512_set1_epi32(bits));
}
// c + a.first * b.first + a.second * b.second; subnormal numbers count as zero.
[[maybe_unused]] Floats DotPairs(Pairs a, Pairs b, Floats c) { return {_mm512_dpbf16_ps(c.v, a.v, b.v)}; }

// x - floor(x); 0 for an infinity.
[[maybe_unused]] Floats Fraction(Floats x) {
  constexpr int kFloor = 1;
  return {_mm512_reduce_ps(x.v, kFloor)};
}

// Infinities and NaN become the largest bfloat.
[[maybe_unused]] Pairs Finite(Pairs a) {
  const __m512i positive = _mm512_min_epi16(WordsOf(a.v), _mm512_set1_epi16(0x7f7f));
  return PairsOf(_mm512_min_epu16(positive, _mm512_set1_epi16(static_cast<int16_t>(0xff7f))));
}

}  // namespace
}  // namespace quire

#endif  // QUIRE_KERNELS_LANES_AVX512_BF16_H_

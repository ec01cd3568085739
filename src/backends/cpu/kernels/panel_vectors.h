// Vectors over the 16 rows of a panel (panels.h), one lane a row, as one register or as several, and the byte product.
#pragma once

#include <cstdint>

#include "backends/cpu/kernels/simd.h"

namespace g4::G4_ISA_NAMESPACE {

// Panels pay where bytes multiply four at a time.
#if defined(__AVX2__)
inline constexpr bool kHasPanels = true;
#else
inline constexpr bool kHasPanels = false;
#endif

typedef uint8_t Codes __attribute__((vector_size(64)));  // four consecutive weights of each row
typedef uint16_t CodePairs __attribute__((vector_size(64)));
typedef int32_t RowInts __attribute__((vector_size(64)));
typedef float RowFloats __attribute__((vector_size(64)));
typedef uint8_t RowBytes __attribute__((vector_size(16)));
typedef int8_t SignedRowBytes __attribute__((vector_size(16)));
typedef uint16_t RowWords __attribute__((vector_size(32)));

template <class T>
static G4_INLINE T load_vector(const void* p) {
  T v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
static G4_INLINE void store_vector(void* p, T v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// Asks for the lines that follow a block: those far ahead into the second-level cache, which can wait for more lines
// than the first, and from there, when they are near, into the first.
inline constexpr int64_t kFarAhead = 32768, kNearAhead = 2048;
template <int64_t kBytes>
static G4_INLINE void prefetch_ahead(const std::byte* at) {
  for (int64_t i = 0; i < kBytes; i += 64) {
    __builtin_prefetch(at + kFarAhead + i, 0, 2);
    __builtin_prefetch(at + kNearAhead + i);
  }
}

static G4_INLINE RowFloats all_rows(float x) { return RowFloats{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
static G4_INLINE RowInts all_rows(int32_t x) { return RowInts{} + x; }
static G4_INLINE RowFloats to_floats(RowInts v) { return __builtin_convertvector(v, RowFloats); }

// By intrinsics: gcc 12 takes its own conversions apart, number by number.
#if defined(__AVX512F__)
static G4_INLINE RowInts to_ints(RowBytes v) { return (RowInts)_mm512_maskz_cvtepu8_epi32(0xffff, (__m128i)v); }
static G4_INLINE RowInts to_ints(SignedRowBytes v) { return (RowInts)_mm512_maskz_cvtepi8_epi32(0xffff, (__m128i)v); }
static G4_INLINE RowInts to_ints(RowWords v) { return (RowInts)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)v); }
#elif defined(__AVX2__)
static G4_INLINE RowInts both(__m256i low, __m256i high) {
  RowInts out;
  __builtin_memcpy(&out, &low, sizeof low);
  __builtin_memcpy((char*)&out + sizeof low, &high, sizeof high);
  return out;
}
static G4_INLINE RowInts to_ints(RowBytes v) {
  return both(_mm256_cvtepu8_epi32((__m128i)v), _mm256_cvtepu8_epi32(_mm_srli_si128((__m128i)v, 8)));
}
static G4_INLINE RowInts to_ints(SignedRowBytes v) {
  return both(_mm256_cvtepi8_epi32((__m128i)v), _mm256_cvtepi8_epi32(_mm_srli_si128((__m128i)v, 8)));
}
static G4_INLINE RowInts to_ints(RowWords v) {
  return both(_mm256_cvtepu16_epi32(_mm256_castsi256_si128((__m256i)v)),
              _mm256_cvtepu16_epi32(_mm256_extracti128_si256((__m256i)v, 1)));
}
#else
template <class T>
static G4_INLINE RowInts to_ints(T v) {
  return __builtin_convertvector(v, RowInts);
}
#endif

#if !defined(__AVX512F__)  // there RowFloats is simd.h's Vec
static G4_INLINE RowFloats fma(RowFloats a, RowFloats b, RowFloats c) {
  RowFloats out;
  for (int i = 0; i < 16 / kLanes; ++i) {
    Vec part[3];
    __builtin_memcpy(&part[0], (const char*)&a + i * sizeof(Vec), sizeof(Vec));
    __builtin_memcpy(&part[1], (const char*)&b + i * sizeof(Vec), sizeof(Vec));
    __builtin_memcpy(&part[2], (const char*)&c + i * sizeof(Vec), sizeof(Vec));
    const Vec result = fma(part[0], part[1], part[2]);
    __builtin_memcpy((char*)&out + i * sizeof(Vec), &result, sizeof(Vec));
  }
  return out;
}
#endif

// 16 consecutive float16.
static G4_INLINE RowFloats load_halves(const std::byte* p) {
#if defined(__AVX512F__)
  // The unmasked forms make gcc 12 warn about its own header.
  return (RowFloats)_mm512_maskz_cvtph_ps(0xffff, load_vector<__m256i>(p));
#elif defined(__F16C__)
  RowFloats out;
  const __m256 low = _mm256_cvtph_ps(load_vector<__m128i>(p)), high = _mm256_cvtph_ps(load_vector<__m128i>(p + 16));
  __builtin_memcpy(&out, &low, sizeof low);
  __builtin_memcpy((char*)&out + sizeof low, &high, sizeof high);
  return out;
#else
  (void)p;
  return RowFloats{};
#endif
}

// acc[r] += the four codes of row r (unsigned) times the four bytes of `quad` (signed). Callers keep pairs of products
// inside 16 bits: codes up to 255 by bytes up to 63 in magnitude.
static G4_INLINE RowInts dot4(RowInts acc, Codes codes, int32_t quad) {
#if defined(__AVX512VNNI__)
  return (RowInts)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)codes, _mm512_set1_epi32(quad));
#elif defined(__AVX2__)
  __m256i part[2], sum[2];
  __builtin_memcpy(part, &codes, sizeof part);
  __builtin_memcpy(sum, &acc, sizeof sum);
  const __m256i bytes = _mm256_set1_epi32(quad), ones = _mm256_set1_epi16(1);
  for (int i = 0; i < 2; ++i)
    sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(part[i], bytes), ones));
  RowInts out;
  __builtin_memcpy(&out, sum, sizeof out);
  return out;
#else
  (void)codes, (void)quad;
  return acc;
#endif
}

// Bits kFrom and above of each byte, kMask of them.
template <int kFrom, uint8_t kMask>
static G4_INLINE Codes code_bits(Codes c) {
  return (Codes)((CodePairs)c >> kFrom) & kMask;
}

// table[c] for each code below 16.
static G4_INLINE Codes look_up_codes(const uint8_t* table, Codes c) {
#if defined(__AVX512BW__)
  return (Codes)_mm512_maskz_shuffle_epi8(
      ~__mmask64{}, _mm512_maskz_broadcast_i32x4(0xffff, load_vector<__m128i>(table)), (__m512i)c);
#elif defined(__AVX2__)
  __m256i part[2];
  __builtin_memcpy(part, &c, sizeof part);
  const __m256i values = _mm256_broadcastsi128_si256(load_vector<__m128i>(table));
  for (__m256i& p : part) p = _mm256_shuffle_epi8(values, p);
  Codes out;
  __builtin_memcpy(&out, part, sizeof out);
  return out;
#else
  (void)table;
  return c;
#endif
}

}  // namespace g4::G4_ISA_NAMESPACE

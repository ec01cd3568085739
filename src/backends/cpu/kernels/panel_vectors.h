// Vectors over the rows of a panel (panels.h), one lane a row, and the byte product. One register holds kLanes of the
// 16 rows: a panel is multiplied in kParts parts.
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

inline constexpr int kParts = static_cast<int>(kPanelRows) / kLanes;

typedef uint8_t Codes __attribute__((vector_size(kLanes * 4)));  // four consecutive weights of each row
typedef uint16_t CodePairs __attribute__((vector_size(kLanes * 4)));
typedef IVec RowInts;
typedef Vec RowFloats;
typedef uint8_t RowBytes __attribute__((vector_size(kLanes)));
typedef int8_t SignedRowBytes __attribute__((vector_size(kLanes)));
typedef uint16_t RowWords __attribute__((vector_size(kLanes * 2)));

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

static G4_INLINE RowFloats all_rows(float x) { return splat(x); }
static G4_INLINE RowInts all_rows(int32_t x) { return RowInts{} + x; }
static G4_INLINE RowFloats to_floats(RowInts v) { return __builtin_convertvector(v, RowFloats); }

// By intrinsics: gcc 12 takes its own conversions apart, number by number.
#if defined(__AVX512F__)
static G4_INLINE RowInts to_ints(RowBytes v) { return (RowInts)_mm512_maskz_cvtepu8_epi32(0xffff, (__m128i)v); }
static G4_INLINE RowInts to_ints(SignedRowBytes v) { return (RowInts)_mm512_maskz_cvtepi8_epi32(0xffff, (__m128i)v); }
static G4_INLINE RowInts to_ints(RowWords v) { return (RowInts)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)v); }
#elif defined(__AVX2__)
static G4_INLINE __m128i low_half(uint64_t bytes) { return _mm_cvtsi64_si128(static_cast<int64_t>(bytes)); }
static G4_INLINE RowInts to_ints(RowBytes v) { return (RowInts)_mm256_cvtepu8_epi32(low_half((uint64_t)v)); }
static G4_INLINE RowInts to_ints(SignedRowBytes v) { return (RowInts)_mm256_cvtepi8_epi32(low_half((uint64_t)v)); }
static G4_INLINE RowInts to_ints(RowWords v) { return (RowInts)_mm256_cvtepu16_epi32((__m128i)v); }
#else
template <class T>
static G4_INLINE RowInts to_ints(T v) {
  return __builtin_convertvector(v, RowInts);
}
#endif

// A float16 of each row.
static G4_INLINE RowFloats load_halves(const std::byte* p) {
#if defined(__AVX512F__)
  // The unmasked forms make gcc 12 warn about its own header.
  return (RowFloats)_mm512_maskz_cvtph_ps(0xffff, load_vector<__m256i>(p));
#elif defined(__F16C__)
  return (RowFloats)_mm256_cvtph_ps(load_vector<__m128i>(p));
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
#elif defined(__AVXVNNI__)
  return (RowInts)_mm256_dpbusd_avx_epi32((__m256i)acc, (__m256i)codes, _mm256_set1_epi32(quad));
#elif defined(__AVX2__)
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)codes, _mm256_set1_epi32(quad));
  return acc + (RowInts)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#else
  (void)codes, (void)quad;
  return acc;
#endif
}

// Whether dot4 takes three instructions.
#if defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(__AVXVNNI__)
inline constexpr bool kWidens = true;
#else
inline constexpr bool kWidens = false;
#endif

// Sums of products by dot4 over a block. Codes below 16 may add up in 16 bits, where that spares widening them: 64
// products of at most 15 * 63 each stay below 2^15 in the two lanes that share them.
template <bool kFourBit>
struct ByteSum {
  static constexpr bool kShort = kFourBit && kWidens;
  RowInts sum{};

  G4_INLINE void add(Codes codes, int32_t quad) {
#if defined(__AVX2__) && !defined(__AVX512F__)
    if constexpr (kShort) {
      const __m256i pairs = _mm256_maddubs_epi16((__m256i)codes, _mm256_set1_epi32(quad));
      sum = (RowInts)_mm256_add_epi16((__m256i)sum, pairs);
      return;
    }
#endif
    sum = dot4(sum, codes, quad);
  }
  G4_INLINE RowInts total() const {
#if defined(__AVX2__) && !defined(__AVX512F__)
    if constexpr (kShort) return (RowInts)_mm256_madd_epi16((__m256i)sum, _mm256_set1_epi16(1));
#endif
    return sum;
  }
};

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
  const __m256i values = _mm256_broadcastsi128_si256(load_vector<__m128i>(table));
  return (Codes)_mm256_shuffle_epi8(values, (__m256i)c);
#else
  (void)table;
  return c;
#endif
}

}  // namespace g4::G4_ISA_NAMESPACE

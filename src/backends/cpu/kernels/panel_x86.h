// Panels on AVX2, AVX-VNNI and AVX-512: see panel_unit.h.
#pragma once

#include "backends/cpu/kernels/panel_vectors.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr bool kHasPanels = true;
inline constexpr uint8_t kSignBit = 128;
inline constexpr int kActRun = 32;

// Whether dot4 takes three instructions.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
inline constexpr bool kWidens = false;
#else
inline constexpr bool kWidens = true;
#endif
inline constexpr bool kPairing = !kWidens;

typedef uint8_t RowBytes __attribute__((vector_size(kLanes)));
typedef int8_t SignedRowBytes __attribute__((vector_size(kLanes)));
typedef uint16_t RowWords __attribute__((vector_size(kLanes * 2)));

// By intrinsics: gcc 12 takes its own conversions apart, number by number.
#if defined(__AVX512F__)
static G4_INLINE RowInts to_ints(RowBytes v) { return (RowInts)_mm512_maskz_cvtepu8_epi32(0xffff, (__m128i)v); }
static G4_INLINE RowInts to_ints(SignedRowBytes v) { return (RowInts)_mm512_maskz_cvtepi8_epi32(0xffff, (__m128i)v); }
static G4_INLINE RowInts to_ints(RowWords v) { return (RowInts)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)v); }
#else
static G4_INLINE __m128i low_half(uint64_t bytes) { return _mm_cvtsi64_si128(static_cast<int64_t>(bytes)); }
static G4_INLINE RowInts to_ints(RowBytes v) { return (RowInts)_mm256_cvtepu8_epi32(low_half((uint64_t)v)); }
static G4_INLINE RowInts to_ints(SignedRowBytes v) { return (RowInts)_mm256_cvtepi8_epi32(low_half((uint64_t)v)); }
static G4_INLINE RowInts to_ints(RowWords v) { return (RowInts)_mm256_cvtepu16_epi32((__m128i)v); }
#endif

static G4_INLINE RowFloats load_halves(const std::byte* p) {
#if defined(__AVX512F__)
  // The unmasked forms make gcc 12 warn about its own header.
  return (RowFloats)_mm512_maskz_cvtph_ps(0xffff, load_vector<__m256i>(p));
#else
  return (RowFloats)_mm256_cvtph_ps(load_vector<__m128i>(p));
#endif
}

typedef int32_t Quad;
static G4_INLINE Quad high_quad(const std::byte* x, int j) { return load_vector<Quad>(x + 4 * j); }
static G4_INLINE Quad low_quad(const std::byte* x, int j) { return load_vector<Quad>(x + 32 + 4 * j); }

// acc[r] += the four codes of row r (unsigned) times the four bytes of `quad` (signed). Callers keep pairs of products
// inside 16 bits: codes up to 255 by bytes up to 63 in magnitude.
static G4_INLINE RowInts dot4(RowInts acc, Codes codes, Quad quad) {
#if defined(__AVX512VNNI__)
  return (RowInts)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)codes, _mm512_set1_epi32(quad));
#elif defined(__AVXVNNI__)
  return (RowInts)_mm256_dpbusd_avx_epi32((__m256i)acc, (__m256i)codes, _mm256_set1_epi32(quad));
#else
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)codes, _mm256_set1_epi32(quad));
  return acc + (RowInts)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#endif
}

// Codes below 16 may add up in 16 bits, where that spares widening them: 64 products of at most 15 * 63 each stay below
// 2^15 in the two lanes that share them.
template <bool kFourBit>
struct ByteSum {
  static constexpr bool kShort = kFourBit && kWidens;
  RowInts sum{};

  G4_INLINE void add(Codes codes, Quad quad) {
#if !defined(__AVX512F__)
    if constexpr (kShort) {
      const __m256i pairs = _mm256_maddubs_epi16((__m256i)codes, _mm256_set1_epi32(quad));
      sum = (RowInts)_mm256_add_epi16((__m256i)sum, pairs);
      return;
    }
#endif
    sum = dot4(sum, codes, quad);
  }
  G4_INLINE RowInts total() const {
#if !defined(__AVX512F__)
    if constexpr (kShort) return (RowInts)_mm256_madd_epi16((__m256i)sum, _mm256_set1_epi16(1));
#endif
    return sum;
  }
};

inline constexpr bool kHasOctets = false;
#if defined(__AVX512BF16__)
inline constexpr bool kHasHalves = true;
#else
inline constexpr bool kHasHalves = false;
#endif

template <int kFrom, uint8_t kMask>
static G4_INLINE Codes code_bits(Codes c) {
  return (Codes)((CodePairs)c >> kFrom) & kMask;
}

static G4_INLINE Codes look_up_codes(const uint8_t* table, Codes c) {
#if defined(__AVX512BW__)
  return (Codes)_mm512_maskz_shuffle_epi8(
      ~__mmask64{}, _mm512_maskz_broadcast_i32x4(0xffff, load_vector<__m128i>(table)), (__m512i)c);
#else
  const __m256i values = _mm256_broadcastsi128_si256(load_vector<__m128i>(table));
  return (Codes)_mm256_shuffle_epi8(values, (__m256i)c);
#endif
}

}  // namespace g4::G4_ISA_NAMESPACE

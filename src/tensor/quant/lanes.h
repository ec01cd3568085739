// Sixteen lanes at a time: the thin vector layer under the block decoders. Bytes16 is one register on every instruction
// set; widening to sixteen floats is the one step each of them does its own way.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "tensor/quant/isa.h"

namespace g4::G4_ISA_NAMESPACE {

typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef int8_t SignedBytes16 __attribute__((vector_size(16)));
typedef uint16_t Words8 __attribute__((vector_size(16)));

// Sixteen floats in the widest registers there are.
#if defined(__AVX512F__)
typedef float Floats __attribute__((vector_size(64)));
#elif defined(__AVX2__)
typedef float Floats __attribute__((vector_size(32)));
#else
typedef float Floats __attribute__((vector_size(16)));
#endif
struct Floats16 {
  static constexpr int kLanes = sizeof(Floats) / sizeof(float);
  static constexpr int kParts = 16 / kLanes;
  Floats part[kParts];
};

static inline Bytes16 load_bytes(const uint8_t* in) {
  Bytes16 bytes;
  __builtin_memcpy(&bytes, in, sizeof bytes);
  return bytes;
}

// Bits kFrom .. kFrom + kWidth - 1 of each byte, moved to bit kTo. (There is no shift of byte lanes: what a shift of
// 16-bit lanes carries over from the neighbour, the mask removes.)
template <int kFrom, int kWidth, int kTo = 0>
static inline Bytes16 bit_field(Bytes16 bytes) {
  constexpr uint8_t kMask = static_cast<uint8_t>(((1 << kWidth) - 1) << kTo);
  if constexpr (kFrom >= kTo)
    return reinterpret_cast<Bytes16>(reinterpret_cast<Words8>(bytes) >> (kFrom - kTo)) & kMask;
  return reinterpret_cast<Bytes16>(reinterpret_cast<Words8>(bytes) << (kTo - kFrom)) & kMask;
}

// Bit i of `bits` at bit kTo of byte i.
template <int kTo>
static inline Bytes16 spread_bits(uint16_t bits) {
#if defined(__SSSE3__)
  const __m128i byte_of_lane = _mm_set_epi64x(0x0101010101010101, 0);
  const auto bytes =
      reinterpret_cast<Bytes16>(_mm_shuffle_epi8(_mm_set1_epi16(static_cast<int16_t>(bits)), byte_of_lane));
#else
  typedef uint64_t Longs2 __attribute__((vector_size(16)));
  constexpr uint64_t kEveryByte = 0x0101010101010101u;
  const auto bytes = reinterpret_cast<Bytes16>(Longs2{(bits & 255u) * kEveryByte, (bits >> 8) * kEveryByte});
#endif
  constexpr Bytes16 kOwnBit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return reinterpret_cast<Bytes16>((bytes & kOwnBit) == kOwnBit) & static_cast<uint8_t>(1 << kTo);
}

// table[i] for each index i < 16.
static inline Bytes16 look_up(const int8_t* table, Bytes16 indices) {
#if defined(__SSSE3__)
  const auto values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return reinterpret_cast<Bytes16>(_mm_shuffle_epi8(values, reinterpret_cast<__m128i>(indices)));
#elif defined(__aarch64__)
  return (Bytes16)vqtbl1q_s8(vld1q_s8(table), (uint8x16_t)indices);
#else
  Bytes16 values;
  for (int i = 0; i < 16; ++i) values[i] = static_cast<uint8_t>(table[indices[i]]);
  return values;
#endif
}

// The bytes as signed integers.
static inline Floats16 widen(Bytes16 bytes) {
#if defined(__AVX512F__)
  constexpr __mmask16 kAll = 0xffff;  // the unmasked forms make gcc 12 warn about its own header
  const auto in = reinterpret_cast<__m128i>(bytes);
  return {{_mm512_maskz_cvtepi32_ps(kAll, _mm512_maskz_cvtepi8_epi32(kAll, in))}};
#elif defined(__AVX2__)
  const auto in = reinterpret_cast<__m128i>(bytes);
  return {{_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(in)),
           _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(in, in)))}};
#elif defined(__aarch64__)
  const auto in = (int8x16_t)bytes;
  const int16x8_t low = vmovl_s8(vget_low_s8(in)), high = vmovl_high_s8(in);
  return {{(Floats)vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), (Floats)vcvtq_f32_s32(vmovl_high_s16(low)),
           (Floats)vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), (Floats)vcvtq_f32_s32(vmovl_high_s16(high))}};
#else
  typedef int16_t Words __attribute__((vector_size(32)));
  typedef int32_t Ints __attribute__((vector_size(64)));
  typedef float WideFloats __attribute__((vector_size(64)));
  const auto words = __builtin_convertvector(reinterpret_cast<SignedBytes16>(bytes), Words);
  const auto floats = __builtin_convertvector(__builtin_convertvector(words, Ints), WideFloats);
  return __builtin_bit_cast(Floats16, floats);
#endif
}

// out[i] = scale * bytes[i]
static inline void store_scaled(Bytes16 bytes, float scale, float* out) {
  const Floats16 values = widen(bytes);
  for (int i = 0; i < Floats16::kParts; ++i) {
    const Floats scaled = values.part[i] * scale;
    __builtin_memcpy(out + i * Floats16::kLanes, &scaled, sizeof scaled);
  }
}

// out[i] = scale * bytes[i] + offset
static inline void store_scaled(Bytes16 bytes, float scale, float offset, float* out) {
  const Floats16 values = widen(bytes);
  for (int i = 0; i < Floats16::kParts; ++i) {
    const Floats scaled = values.part[i] * scale + offset;
    __builtin_memcpy(out + i * Floats16::kLanes, &scaled, sizeof scaled);
  }
}

}  // namespace g4::G4_ISA_NAMESPACE

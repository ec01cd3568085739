// Panels on 64-bit Arm: see panel_unit.h. Codes are signed, as the byte products of both operands are. Activations lie
// in runs of eight high bytes and their low bytes, one register: two quads of each, picked by lane, or for i8mm the
// matrix [2, 8] that meets the codes of eight elements of two rows.
#pragma once

#include "backends/cpu/kernels/panel_vectors.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr bool kHasPanels = true;
inline constexpr bool kPairing = false;
inline constexpr uint8_t kSignBit = 0;
inline constexpr int kActRun = 8;

// Of bytes the first four count: registers begin at eight.
typedef uint8_t RowBytes __attribute__((vector_size(8)));
typedef int8_t SignedRowBytes __attribute__((vector_size(8)));
typedef uint16_t RowWords __attribute__((vector_size(8)));

template <>
G4_INLINE RowBytes load_vector<RowBytes>(const void* p) {
  return (RowBytes)vdup_n_u32(load_vector<uint32_t>(p));
}
template <>
G4_INLINE SignedRowBytes load_vector<SignedRowBytes>(const void* p) {
  return (SignedRowBytes)vdup_n_u32(load_vector<uint32_t>(p));
}

static G4_INLINE RowInts to_ints(RowWords v) { return (RowInts)vmovl_u16((uint16x4_t)v); }
static G4_INLINE RowInts to_ints(RowBytes v) { return (RowInts)vmovl_u16(vget_low_u16(vmovl_u8((uint8x8_t)v))); }
static G4_INLINE RowInts to_ints(SignedRowBytes v) { return (RowInts)vmovl_s16(vget_low_s16(vmovl_s8((int8x8_t)v))); }

static G4_INLINE RowFloats load_halves(const std::byte* p) {
  return (RowFloats)vcvt_f32_f16(load_vector<float16x4_t>(p));
}

#if defined(__ARM_FEATURE_DOTPROD)
// Four bytes of a register.
struct Quad {
  int8x16_t bytes;
  int lane;
};
static G4_INLINE Quad high_quad(const std::byte* x, int j) { return {load_vector<int8x16_t>(x + j / 2 * 16), j % 2}; }
static G4_INLINE Quad low_quad(const std::byte* x, int j) { return {high_quad(x, j).bytes, 2 + j % 2}; }

template <bool kFourBit>
struct ByteSum {
  static constexpr bool kShort = false;
  RowInts sum{};

  // The instruction names its lane: callers' loops unroll, and one branch is left.
  G4_INLINE void add(Codes codes, Quad quad) {
    const auto acc = (int32x4_t)sum;
    const auto c = (int8x16_t)codes;
    switch (quad.lane) {
      case 0:
        sum = (RowInts)vdotq_laneq_s32(acc, c, quad.bytes, 0);
        break;
      case 1:
        sum = (RowInts)vdotq_laneq_s32(acc, c, quad.bytes, 1);
        break;
      case 2:
        sum = (RowInts)vdotq_laneq_s32(acc, c, quad.bytes, 2);
        break;
      default:
        sum = (RowInts)vdotq_laneq_s32(acc, c, quad.bytes, 3);
    }
  }
  G4_INLINE RowInts total() const { return sum; }
};
#else
// Four bytes, over and over.
typedef int8x16_t Quad;
static G4_INLINE Quad high_quad(const std::byte* x, int j) {
  return (Quad)vdupq_n_s32(load_vector<int32_t>(x + j / 2 * 16 + j % 2 * 4));
}
static G4_INLINE Quad low_quad(const std::byte* x, int j) { return high_quad(x + kActRun, j); }

// Products add up in 16 bits, each row's four in four lanes: one each of codes below 16 from all eight quads, at most
// four of any others (4 * 128 * 63 < 2^15) before they are widened.
template <bool kFourBit>
struct ByteSum {
  static constexpr bool kShort = true;
  static constexpr int kMost = kFourBit ? 8 : 4;
  int16x8_t products[2] = {};  // of rows 0 and 1, of rows 2 and 3
  int32x4_t wide[2] = {};
  int count = 0;

  G4_INLINE void add(Codes codes, Quad quad) {
    const auto c = (int8x16_t)codes;
    if (count == kMost) widen();
    products[0] = vmlal_s8(products[0], vget_low_s8(c), vget_low_s8(quad));
    products[1] = vmlal_high_s8(products[1], c, quad);
    ++count;
  }
  G4_INLINE RowInts total() {
    widen();
    return (RowInts)vpaddq_s32(wide[0], wide[1]);
  }

 private:
  G4_INLINE void widen() {
    for (int i = 0; i < 2; ++i) {
      wide[i] = vpadalq_s16(wide[i], products[i]);
      products[i] = vdupq_n_s16(0);
    }
    count = 0;
  }
};
#endif

#if defined(__ARM_FEATURE_MATMUL_INT8)
inline constexpr bool kHasOctets = true;

template <>
struct OctetSum<true> {
  // Vector 2 i: the codes of elements 8 i to 8 i + 7 of rows 0 and 1, the next one those of rows 2 and 3.
  static G4_INLINE void order(Codes* codes) {
    for (int j = 0; j < 8; j += 2) {
      const auto first = (int32x4_t)codes[j], second = (int32x4_t)codes[j + 1];
      codes[j] = (Codes)vzip1q_s32(first, second);
      codes[j + 1] = (Codes)vzip2q_s32(first, second);
    }
  }

  int32x4_t sum[2] = {};  // of each of two rows the high bytes' and the low bytes'

  G4_INLINE void add(Codes codes, const std::byte* x, int j) {
    sum[j % 2] = vmmlaq_s32(sum[j % 2], (int8x16_t)codes, load_vector<int8x16_t>(x + j / 2 * 16));
  }
  G4_INLINE RowInts total() const {
    return (RowInts)(vshlq_n_s32(vuzp1q_s32(sum[0], sum[1]), 4) + vuzp2q_s32(sum[0], sum[1]));
  }
};
#else
inline constexpr bool kHasOctets = false;
#endif

#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
inline constexpr bool kHasHalves = true;

// even[r] += pair r's first number times x[0], odd[r] += its second times x[1]: fused and rounded as float32 vectors
// are. (bfdot and bfmmla round sums to odd and take subnormal numbers for zero: twice the error of a float32 sum.)
static G4_INLINE void add_pairs(RowInts pairs, const uint16_t* x, RowFloats& even, RowFloats& odd) {
  const auto w = (bfloat16x8_t)pairs, both = (bfloat16x8_t)vdupq_n_u32(load_vector<uint32_t>(x));
  even = (RowFloats)vbfmlalbq_f32((float32x4_t)even, w, both);
  odd = (RowFloats)vbfmlaltq_f32((float32x4_t)odd, w, both);
}
#else
inline constexpr bool kHasHalves = false;
#endif

template <int kFrom, uint8_t kMask>
static G4_INLINE Codes code_bits(Codes c) {
  const Codes shifted = c >> kFrom;
  return 255 >> kFrom == kMask ? shifted : shifted & kMask;
}

static G4_INLINE Codes look_up_codes(const uint8_t* table, Codes c) {
  return (Codes)vqtbl1q_u8(load_vector<uint8x16_t>(table), (uint8x16_t)c);
}

}  // namespace g4::G4_ISA_NAMESPACE

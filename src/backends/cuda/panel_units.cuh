// What a thread takes out of a panel at once: a unit of 32 or 64 weights of one row, loaded in 16-byte pieces. A unit
// falls into parts of 16 or 32 consecutive weights that share a scale:
//   weight = scale * (code - kOffset) + minimum, codes small integers, four to a word, the same for every kernel.
// The scales are rounded as block_values.cuh rounds them.
#pragma once

#include "backends/cuda/panel_fields.cuh"

namespace g4::cuda {

// Weights are read once: they need not stay in the first-level cache.
__device__ __forceinline__ uint4 load_once(const std::byte* p) {
  uint4 v;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(p));
  return v;
}
template <class T>
__device__ __forceinline__ T load_shared_scales(const std::byte* p) {
  return __ldg(reinterpret_cast<const T*>(p));
}

__device__ __forceinline__ uint32_t word_of(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}
__device__ __forceinline__ uint32_t low_nibbles(uint32_t w) { return w & 0x0f0f0f0fu; }
__device__ __forceinline__ uint32_t high_nibbles(uint32_t w) { return (w >> 4) & 0x0f0f0f0fu; }
// Four bits become bit 4 of four bytes.
__device__ __forceinline__ uint32_t fifth_bits(uint32_t four) {
  return ((four & 15u) * 0x00204081u & 0x01010101u) << 4;
}
__device__ __forceinline__ float low_half(uint32_t pair) {
  return block_detail::half_bits(static_cast<int>(pair & 0xffffu));
}
__device__ __forceinline__ float high_half(uint32_t pair) {
  return block_detail::half_bits(static_cast<int>(pair >> 16));
}

// A panel with rows of `blocks` blocks; of less than 2 GiB.
struct PanelPlaces {
  const std::byte* data;
  int blocks;
  // Where row `row` keeps unit `unit` of a field: units of all blocks counted.
  template <DType kType, int kField>
  __device__ __forceinline__ const std::byte* at(int unit, int row) const {
    constexpr int kUnit = panel_fields(kType).field[kField].unit;
    constexpr int kBefore = bytes_before_field(kType, kField) * static_cast<int>(kPanelRows);
    return data + (kBefore * blocks + (unit * static_cast<int>(kPanelRows) + row) * kUnit);
  }
};
// One in device memory.
struct Panel : PanelPlaces {
  template <DType kType, int kField>
  __device__ __forceinline__ uint4 piece(int unit, int row) const {
    return load_once(at<kType, kField>(unit, row));
  }
  template <class T, DType kType, int kField>
  __device__ __forceinline__ T scale(int unit, int row, int offset = 0) const {
    return load_shared_scales<T>(at<kType, kField>(unit, row) + offset);
  }
};
// Some blocks of one, copied into shared memory.
struct SharedPanel : PanelPlaces {
  template <DType kType, int kField>
  __device__ __forceinline__ uint4 piece(int unit, int row) const {
    return *reinterpret_cast<const uint4*>(at<kType, kField>(unit, row));
  }
  template <class T, DType kType, int kField>
  __device__ __forceinline__ T scale(int unit, int row, int offset = 0) const {
    return *reinterpret_cast<const T*>(at<kType, kField>(unit, row) + offset);
  }
};

// The formats of 32 weights with 16 bytes of nibbles, and what those have in common.
template <DType kType, int kOffsetOfCodes, bool kHasMinimum>
struct NibbleUnit {
  static constexpr int kWeights = 32, kParts = 1, kWords = 8, kOffset = kOffsetOfCodes;
  static constexpr bool kSigned = false, kMinimum = kHasMinimum;
  // The part's first weight, counted in sixteens.
  static __device__ __forceinline__ int sixteenth(int unit, int) { return unit * 2; }
  static __device__ __forceinline__ void nibbles(const uint4& q, uint32_t* words) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      words[j] = low_nibbles(word_of(q, j));
      words[4 + j] = high_nibbles(word_of(q, j));
    }
  }
};

// Sixteen signed bytes, looked up by nibbles.
struct Levels {
  uint32_t word[4];
  // Eight nibbles of `indices` to two words: those in the low halves of its bytes, those in the high halves.
  __device__ __forceinline__ void look_up(uint32_t indices, uint32_t* low, uint32_t* high) const {
    const uint32_t chosen = indices & 0x77777777u, upper = (indices & 0x88888888u) >> 1 | 0x32103210u;
    uint32_t values[2];  // of four nibbles each, in their order
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint32_t below = __byte_perm(word[0], word[1], chosen >> (16 * i));
      const uint32_t above = __byte_perm(word[2], word[3], chosen >> (16 * i));
      values[i] = __byte_perm(below, above, upper >> (16 * i));
    }
    *low = __byte_perm(values[0], values[1], 0x6420);
    *high = __byte_perm(values[0], values[1], 0x7531);
  }
};
__device__ __forceinline__ constexpr Levels iq4_levels() {
  return {{0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u}};
}
__device__ __forceinline__ constexpr Levels mxfp4_levels() {
  return {{0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu}};
}

template <DType kType>
struct LevelUnit : NibbleUnit<kType, 0, false> {
  static constexpr bool kSigned = true;
  static __device__ __forceinline__ void levels(const Levels& table, const uint4& q, uint32_t* words) {
#pragma unroll
    for (int j = 0; j < 4; ++j) table.look_up(word_of(q, j), words + j, words + 4 + j);
  }
};

template <DType kType>
struct PanelUnit;

template <>
struct PanelUnit<DType::Q4_0> : NibbleUnit<DType::Q4_0, 8, false> {
  struct Raw {
    uint4 q;
    uint16_t d;
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    return {p.template piece<DType::Q4_0, 1>(unit, row), p.template scale<uint16_t, DType::Q4_0, 0>(unit, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
    nibbles(raw.q, words);
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int) {
    return {low_half(raw.d), 0.0f};
  }
};

template <>
struct PanelUnit<DType::Q4_1> : NibbleUnit<DType::Q4_1, 0, true> {
  struct Raw {
    uint4 q;
    uint32_t dm;
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    return {p.template piece<DType::Q4_1, 1>(unit, row), p.template scale<uint32_t, DType::Q4_1, 0>(unit, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
    nibbles(raw.q, words);
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int) {
    return {low_half(raw.dm), high_half(raw.dm)};
  }
};

template <>
struct PanelUnit<DType::Q5_0> : NibbleUnit<DType::Q5_0, 16, false> {
  struct Raw {
    uint4 q;
    uint32_t high;
    uint16_t d;
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    return {p.template piece<DType::Q5_0, 2>(unit, row), p.template scale<uint32_t, DType::Q5_0, 1>(unit, row),
            p.template scale<uint16_t, DType::Q5_0, 0>(unit, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
    nibbles(raw.q, words);
#pragma unroll
    for (int j = 0; j < 8; ++j) words[j] |= fifth_bits(raw.high >> (4 * j));
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int) {
    return {low_half(raw.d), 0.0f};
  }
};

template <>
struct PanelUnit<DType::Q5_1> : NibbleUnit<DType::Q5_1, 0, true> {
  struct Raw {
    uint4 q;
    uint32_t high, dm;
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    return {p.template piece<DType::Q5_1, 2>(unit, row), p.template scale<uint32_t, DType::Q5_1, 1>(unit, row),
            p.template scale<uint32_t, DType::Q5_1, 0>(unit, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
    nibbles(raw.q, words);
#pragma unroll
    for (int j = 0; j < 8; ++j) words[j] |= fifth_bits(raw.high >> (4 * j));
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int) {
    return {low_half(raw.dm), high_half(raw.dm)};
  }
};

template <>
struct PanelUnit<DType::Q8_0> : NibbleUnit<DType::Q8_0, 0, false> {
  static constexpr bool kSigned = true;
  struct Raw {
    uint4 q[2];
    uint16_t d;
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    return {{p.template piece<DType::Q8_0, 1>(2 * unit, row), p.template piece<DType::Q8_0, 1>(2 * unit + 1, row)},
            p.template scale<uint16_t, DType::Q8_0, 0>(unit, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
#pragma unroll
    for (int j = 0; j < 8; ++j) words[j] = word_of(raw.q[j / 4], j % 4);
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int) {
    return {low_half(raw.d), 0.0f};
  }
};

template <>
struct PanelUnit<DType::IQ4_NL> : LevelUnit<DType::IQ4_NL> {
  struct Raw {
    uint4 q;
    uint16_t d;
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    return {p.template piece<DType::IQ4_NL, 1>(unit, row), p.template scale<uint16_t, DType::IQ4_NL, 0>(unit, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
    levels(iq4_levels(), raw.q, words);
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int) {
    return {low_half(raw.d), 0.0f};
  }
};

template <>
struct PanelUnit<DType::MXFP4> : LevelUnit<DType::MXFP4> {
  struct Raw {
    uint4 q;
    uint8_t exponent;
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    return {p.template piece<DType::MXFP4, 1>(unit, row), p.template scale<uint8_t, DType::MXFP4, 0>(unit, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
    levels(mxfp4_levels(), raw.q, words);
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int) {
    return {mxfp4_scale(raw.exponent), 0.0f};
  }
};

template <>
struct PanelUnit<DType::IQ4_XS> : LevelUnit<DType::IQ4_XS> {
  struct Raw {
    uint4 q;
    uint2 header;  // d and the scales' high pairs, their low halves
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    return {p.template piece<DType::IQ4_XS, 1>(unit, row), p.template scale<uint2, DType::IQ4_XS, 0>(unit / 8, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
    levels(iq4_levels(), raw.q, words);
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int unit) {
    const int group = unit % 8;
    const auto low = static_cast<int>(raw.header.y >> (4 * group) & 15u);
    const auto high = static_cast<int>(raw.header.x >> (16 + 2 * group) & 3u);
    return {__fmul_rn(low_half(raw.header.x), static_cast<float>((low | high << 4) - 32)), 0.0f};
  }
};

}  // namespace g4::cuda

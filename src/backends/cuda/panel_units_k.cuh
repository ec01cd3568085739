// Units of the K formats: 64 weights, a quarter of a block of 256. Q4_K and Q5_K: two groups of 32, whose nibbles share
// 32 bytes. Q6_K: four groups of 16, 32 weights apart, whose nibbles and pairs of bits share 16 bytes each.
#pragma once

#include "backends/cuda/panel_units.cuh"

namespace g4::cuda {

template <DType kType>
struct PairUnit {
  static constexpr int kWeights = 64, kParts = 2, kWords = 8, kOffset = 0;
  static constexpr bool kSigned = false, kMinimum = true;
  static __device__ __forceinline__ int sixteenth(int unit, int part) { return unit * 4 + part * 2; }

  // The scale and minus the minimum of group 2 * (unit % 4) + kPart; header: d, dmin, 12 bytes of 6-bit numbers.
  template <int kPart>
  static __device__ __forceinline__ float2 group_scales(const uint4& header, int unit) {
    const int shift = (unit & 1) * 16 + 8 * kPart;
    const uint32_t scales = header.y >> shift, minima = header.z >> shift, halves = header.w >> shift;
    const bool first = (unit & 2) == 0;
    const uint32_t scale = first ? scales & 63u : (halves & 15u) | (scales >> 2 & 0x30u);
    const uint32_t minimum = first ? minima & 63u : (halves >> 4 & 15u) | (minima >> 2 & 0x30u);
    return {__fmul_rn(low_half(header.x), static_cast<float>(scale)),
            -__fmul_rn(high_half(header.x), static_cast<float>(minimum))};
  }
};

template <>
struct PanelUnit<DType::Q4_K> : PairUnit<DType::Q4_K> {
  struct Raw {
    uint4 q[2], header;
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    return {{p.template piece<DType::Q4_K, 1>(2 * unit, row), p.template piece<DType::Q4_K, 1>(2 * unit + 1, row)},
            p.template scale<uint4, DType::Q4_K, 0>(unit / 4, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const uint32_t q = word_of(raw.q[j / 4], j % 4);
      words[j] = kPart ? high_nibbles(q) : low_nibbles(q);
    }
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int unit) {
    return group_scales<kPart>(raw.header, unit);
  }
};

template <>
struct PanelUnit<DType::Q5_K> : PairUnit<DType::Q5_K> {
  struct Raw {
    uint4 q[2], high[2], header;
  };
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    const int block = unit / 4;
    return {{p.template piece<DType::Q5_K, 2>(2 * unit, row), p.template piece<DType::Q5_K, 2>(2 * unit + 1, row)},
            {p.template scale<uint4, DType::Q5_K, 1>(2 * block, row),
             p.template scale<uint4, DType::Q5_K, 1>(2 * block + 1, row)},
            p.template scale<uint4, DType::Q5_K, 0>(block, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int unit, uint32_t* words) {
    const int group = (unit & 3) * 2 + kPart;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const uint32_t q = word_of(raw.q[j / 4], j % 4), high = word_of(raw.high[j / 4], j % 4);
      words[j] = (kPart ? high_nibbles(q) : low_nibbles(q)) | (high >> group & 0x01010101u) << 4;
    }
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int unit) {
    return group_scales<kPart>(raw.header, unit);
  }
};

// Unit 4 * block + 2 * run + half: of 128 weights every second group of 16.
template <>
struct PanelUnit<DType::Q6_K> {
  static constexpr int kWeights = 64, kParts = 4, kWords = 4, kOffset = 32;
  static constexpr bool kSigned = false, kMinimum = false;
  struct Raw {
    uint4 q[2], high;
    uint2 scales;  // of the run's eight groups
    uint16_t d;
  };
  static __device__ __forceinline__ int sixteenth(int unit, int part) { return unit / 2 * 8 + 2 * part + (unit & 1); }
  template <class P>
  static __device__ __forceinline__ Raw load(const P& p, int unit, int row) {
    const int run = unit / 2, half = unit & 1, block = unit / 4;
    return {{p.template piece<DType::Q6_K, 3>(4 * run + half, row),
             p.template piece<DType::Q6_K, 3>(4 * run + 2 + half, row)},
            p.template piece<DType::Q6_K, 2>(2 * run + half, row),
            p.template scale<uint2, DType::Q6_K, 1>(block, row, 8 * (run & 1)),
            p.template scale<uint16_t, DType::Q6_K, 0>(block, row)};
  }
  template <int kPart>
  static __device__ __forceinline__ void codes(const Raw& raw, int, uint32_t* words) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const uint32_t q = word_of(raw.q[kPart & 1], j), high = word_of(raw.high, j);
      const uint32_t pairs = 2 * kPart >= 4 ? high >> (2 * kPart - 4) : high << (4 - 2 * kPart);
      words[j] = (kPart & 2 ? high_nibbles(q) : low_nibbles(q)) | (pairs & 0x30303030u);
    }
  }
  template <int kPart>
  static __device__ __forceinline__ float2 scales(const Raw& raw, int unit) {
    const uint32_t four = kPart < 2 ? raw.scales.x : raw.scales.y;  // groups 4 * (kPart / 2) and on
    const auto scale = static_cast<int8_t>(four >> (8 * ((kPart & 1) * 2 + (unit & 1))));
    return {__fmul_rn(low_half(raw.d), static_cast<float>(scale)), 0.0f};
  }
};

}  // namespace g4::cuda

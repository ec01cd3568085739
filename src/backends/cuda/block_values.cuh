// One element of a packed block, as every kernel may read it: rounded step by step as tensor/quant/decode_*.h does, so
// the same bits. A block is given as `Bytes`, a function from a byte's index to the byte, because its bytes may lie one
// after the other (rows) or interleaved with other rows' (panels). Layouts: tensor/quant/blocks.h.
#pragma once

#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace g4::cuda {

__host__ __device__ constexpr int elements_of_block(DType dtype) {
  switch (dtype) {
    case DType::F32:
    case DType::F16:
    case DType::BF16:
    case DType::I32:
      return 1;
    case DType::Q2_K:
    case DType::Q3_K:
    case DType::Q4_K:
    case DType::Q5_K:
    case DType::Q6_K:
    case DType::IQ4_XS:
      return 256;
    default:
      return 32;
  }
}

__host__ __device__ constexpr int bytes_of_block(DType dtype) {
  switch (dtype) {
    case DType::F32:
    case DType::I32:
      return 4;
    case DType::F16:
    case DType::BF16:
      return 2;
    case DType::Q8_0:
      return 34;
    case DType::Q4_0:
    case DType::IQ4_NL:
      return 18;
    case DType::Q4_1:
      return 20;
    case DType::Q5_0:
      return 22;
    case DType::Q5_1:
      return 24;
    case DType::Q2_K:
      return 84;
    case DType::Q3_K:
      return 110;
    case DType::Q4_K:
      return 144;
    case DType::Q5_K:
      return 176;
    case DType::Q6_K:
      return 210;
    case DType::IQ4_XS:
      return 136;
    case DType::MXFP4:
      return 17;
  }
  return 0;
}

// Bytes of a block that lies in one piece, at any address.
struct PackedBytes {
  const std::byte* block;
  __device__ __forceinline__ int operator()(int i) const { return static_cast<int>(block[i]); }
};

namespace block_detail {

__device__ __forceinline__ float half_bits(int bits) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
}
template <class Bytes>
__device__ __forceinline__ float half_at(const Bytes& block, int at) {
  return half_bits(block(at) | block(at + 1) << 8);
}
template <class Bytes>
__device__ __forceinline__ uint32_t word_at(const Bytes& block, int at) {
  return static_cast<uint32_t>(block(at) | block(at + 1) << 8 | block(at + 2) << 16) |
         static_cast<uint32_t>(block(at + 3)) << 24;
}
// Element i of 32 in 16 bytes: the low halves first.
template <class Bytes>
__device__ __forceinline__ int nibble(const Bytes& block, int at, int i) {
  return block(at + (i & 15)) >> (i & 16 ? 4 : 0) & 15;
}
__device__ __forceinline__ float scaled(float d, int q) { return __fmul_rn(d, static_cast<float>(q)); }
__device__ __forceinline__ float scaled(float d, int q, float m) { return __fadd_rn(scaled(d, q), m); }

// Q4_K's and Q5_K's 6-bit scale and minimum of group j, whose 12 bytes begin at `at`.
template <class Bytes>
__device__ __forceinline__ int k_scale(const Bytes& block, int at, int j) {
  return j < 4 ? block(at + j) & 63 : (block(at + 4 + j) & 15) | (block(at + j - 4) >> 6) << 4;
}
template <class Bytes>
__device__ __forceinline__ int k_minimum(const Bytes& block, int at, int j) {
  return j < 4 ? block(at + 4 + j) & 63 : (block(at + 4 + j) >> 4) | (block(at + j) >> 6) << 4;
}

}  // namespace block_detail

// The non-linear grid of IQ4_NL and IQ4_XS, and MXFP4's e2m1 doubled.
__device__ __forceinline__ int iq4_level(int index) {
  // Four levels a word: -127 -104 -83 -65, -49 -35 -22 -10, 1 13 25 38, 53 69 89 113.
  const uint32_t levels = index & 8 ? (index & 4 ? 0x71594535u : 0x26190d01u) : (index & 4 ? 0xf6eaddcfu : 0xbfad9881u);
  return static_cast<int8_t>(levels >> (8 * (index & 3)));
}
__device__ __forceinline__ int mxfp4_level(int index) {
  const int magnitude = static_cast<int>((index & 4 ? 0x0c080604u : 0x03020100u) >> (8 * (index & 3)) & 15);
  return index & 8 ? -magnitude : magnitude;
}
// 2^(exponent - 128); the two smallest are subnormal.
__device__ __forceinline__ float mxfp4_scale(int exponent) {
  const auto e = static_cast<uint32_t>(exponent);
  return __uint_as_float(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

template <DType kType, class Bytes>
__device__ __forceinline__ float value_in_block(const Bytes& block, int i) {
  using namespace block_detail;
  if constexpr (kType == DType::F32) return __uint_as_float(word_at(block, 0));
  if constexpr (kType == DType::F16) return half_at(block, 0);
  if constexpr (kType == DType::BF16) return __uint_as_float(static_cast<uint32_t>(block(0) | block(1) << 8) << 16);
  if constexpr (kType == DType::Q8_0) return scaled(half_at(block, 0), static_cast<int8_t>(block(2 + i)));
  if constexpr (kType == DType::Q4_0) return scaled(half_at(block, 0), nibble(block, 2, i) - 8);
  if constexpr (kType == DType::Q4_1) return scaled(half_at(block, 0), nibble(block, 4, i), half_at(block, 2));
  if constexpr (kType == DType::Q5_0) {
    const int high = block(2 + i / 8) >> (i & 7) & 1;
    return scaled(half_at(block, 0), (nibble(block, 6, i) | high << 4) - 16);
  }
  if constexpr (kType == DType::Q5_1) {
    const int high = block(4 + i / 8) >> (i & 7) & 1;
    return scaled(half_at(block, 0), nibble(block, 8, i) | high << 4, half_at(block, 2));
  }
  if constexpr (kType == DType::Q2_K) {
    const int group = block(i / 16), run = i / 128, part = i / 32 % 4;
    const int q = block(16 + 32 * run + i % 32) >> (2 * part) & 3;
    return scaled(scaled(half_at(block, 80), group & 15), q, scaled(-half_at(block, 82), group >> 4));
  }
  if constexpr (kType == DType::Q3_K) {
    const int group = i / 16, run = i / 128, part = i / 32 % 4;
    const int low = block(96 + group % 8) >> (group & 8 ? 4 : 0) & 15;
    const int high = block(104 + group % 4) >> (2 * (group / 4)) & 3;
    const int q = (block(32 + 32 * run + i % 32) >> (2 * part) & 3) | (block(i % 32) >> (i / 32) & 1) << 2;
    return scaled(scaled(half_at(block, 108), (low | high << 4) - 32), q - 4);
  }
  if constexpr (kType == DType::Q4_K || kType == DType::Q5_K) {
    const int group = i / 32, nibbles = kType == DType::Q4_K ? 16 : 48;
    int q = block(nibbles + group / 2 * 32 + i % 32) >> (group & 1 ? 4 : 0) & 15;
    if constexpr (kType == DType::Q5_K) q |= (block(16 + i % 32) >> group & 1) << 4;
    return scaled(scaled(half_at(block, 0), k_scale(block, 4, group)), q,
                  scaled(-half_at(block, 2), k_minimum(block, 4, group)));
  }
  if constexpr (kType == DType::Q6_K) {
    const int run = i / 128, part = i / 32 % 4;
    const int low = block(64 * run + (part & 1) * 32 + i % 32) >> (part & 2 ? 4 : 0) & 15;
    const int high = block(128 + 32 * run + i % 32) >> (2 * part) & 3;
    return scaled(scaled(half_at(block, 208), static_cast<int8_t>(block(192 + i / 16))), (low | high << 4) - 32);
  }
  if constexpr (kType == DType::IQ4_NL) return scaled(half_at(block, 0), iq4_level(nibble(block, 2, i)));
  if constexpr (kType == DType::IQ4_XS) {
    const int group = i / 32;
    const int low = block(4 + group / 2) >> (group & 1 ? 4 : 0) & 15;
    const int high = (block(2) | block(3) << 8) >> (2 * group) & 3;
    return scaled(scaled(half_at(block, 0), (low | high << 4) - 32), iq4_level(nibble(block, 8 + 16 * group, i % 32)));
  }
  if constexpr (kType == DType::MXFP4) return scaled(mxfp4_scale(block(0)), mxfp4_level(nibble(block, 1, i)));
  return 0.0f;
}

template <DType kType>
__device__ __forceinline__ float block_value(const std::byte* block, int i) {
  return value_in_block<kType>(PackedBytes{block}, i);
}

// The same where the format is known at run time only.
template <class Bytes>
__device__ inline float value_in_block(DType dtype, const Bytes& block, int i) {
  switch (dtype) {
    case DType::F32:
      return value_in_block<DType::F32>(block, i);
    case DType::F16:
      return value_in_block<DType::F16>(block, i);
    case DType::BF16:
      return value_in_block<DType::BF16>(block, i);
    case DType::Q8_0:
      return value_in_block<DType::Q8_0>(block, i);
    case DType::Q4_0:
      return value_in_block<DType::Q4_0>(block, i);
    case DType::Q4_1:
      return value_in_block<DType::Q4_1>(block, i);
    case DType::Q5_0:
      return value_in_block<DType::Q5_0>(block, i);
    case DType::Q5_1:
      return value_in_block<DType::Q5_1>(block, i);
    case DType::Q2_K:
      return value_in_block<DType::Q2_K>(block, i);
    case DType::Q3_K:
      return value_in_block<DType::Q3_K>(block, i);
    case DType::Q4_K:
      return value_in_block<DType::Q4_K>(block, i);
    case DType::Q5_K:
      return value_in_block<DType::Q5_K>(block, i);
    case DType::Q6_K:
      return value_in_block<DType::Q6_K>(block, i);
    case DType::IQ4_NL:
      return value_in_block<DType::IQ4_NL>(block, i);
    case DType::IQ4_XS:
      return value_in_block<DType::IQ4_XS>(block, i);
    case DType::MXFP4:
      return value_in_block<DType::MXFP4>(block, i);
    case DType::I32:
      break;
  }
  return 0.0f;
}

// Element `column` of a row in any weight format.
__device__ inline float weight_value(DType dtype, const std::byte* row, int64_t column) {
  const int elements = elements_of_block(dtype);
  const int64_t block = column / elements;
  return value_in_block(dtype, PackedBytes{row + block * bytes_of_block(dtype)},
                        static_cast<int>(column - block * elements));
}

}  // namespace g4::cuda

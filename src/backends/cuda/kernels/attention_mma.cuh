// Pairs of 16-bit floats as attention's fragments hold them (matrix_fragments.cuh): rounded, widened, cleaned of what is
// not finite.
#pragma once

#include "backends/cuda/device_numbers.cuh"
#include "backends/cuda/matrix_fragments.cuh"

namespace g4::cuda {

// Two numbers side by side, the first in the low half.
template <class T>
struct Pair;
template <>
struct Pair<__nv_bfloat16> {
  static constexpr uint32_t kOnes = 0x3f803f80, kExponent = 0x7f80;
  static __device__ __forceinline__ uint32_t round(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
  static __device__ __forceinline__ float2 floats(uint32_t pair) {
    return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
  }
};
template <>
struct Pair<__half> {
  static constexpr uint32_t kOnes = 0x3c003c00, kExponent = 0x7c00;
  static __device__ __forceinline__ uint32_t round(float low, float high) {
    const __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
  static __device__ __forceinline__ float2 floats(uint32_t pair) {
    return __half22float2(*reinterpret_cast<const __half2*>(&pair));
  }
};

template <class T>
__device__ __forceinline__ bool half_finite(uint32_t half) {
  return (half & Pair<T>::kExponent) != Pair<T>::kExponent;
}
template <class T>
__device__ __forceinline__ bool pair_finite(uint32_t pair) {
  return half_finite<T>(pair) && half_finite<T>(pair >> 16);
}
// With 0 for what is not finite.
template <class T>
__device__ __forceinline__ uint32_t cleaned(uint32_t pair) {
  return (half_finite<T>(pair) ? pair & 0xffffu : 0u) | (half_finite<T>(pair >> 16) ? pair & 0xffff0000u : 0u);
}

}  // namespace g4::cuda

// Numbers on the device: activations to float32 and back, and sums over warps and blocks.
//
// Storing rounds to nearest even, once; a float16 store passes f16 mode's last guard first (not finite becomes 0,
// magnitudes are held to 65280: model/numerics.h). The compiler may contract a * b + c into one rounding: where a
// rounding point matters, write __fmul_rn and __fadd_rn, which it leaves alone.
// Reductions add in a fixed order, so that every run gives the same bits.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tensor/dtype.h"

namespace g4::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// --- one number ----------------------------------------------------------------------------------------------------

template <class T>
__device__ __forceinline__ float to_float(T x) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half2float(x);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __bfloat162float(x);
  } else {
    return static_cast<float>(x);
  }
}

__device__ __forceinline__ float guard_f16(float x) {
  const float limit = 65280.0f;
  const float magnitude = fabsf(x);
  const float held = magnitude > limit ? copysignf(limit, x) : x;
  return magnitude < INFINITY ? held : 0.0f;
}

template <class T>
__device__ __forceinline__ T round_to(float x) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half_rn(guard_f16(x));
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16_rn(x);
  } else {
    return x;
  }
}

// x as T holds it: an inner rounding point of a fused operation.
template <class T>
__device__ __forceinline__ float rounded(float x) {
  return to_float(round_to<T>(x));
}
__device__ __forceinline__ float rounded(DType dtype, float x) {
  if (dtype == DType::BF16) return rounded<__nv_bfloat16>(x);
  return dtype == DType::F16 ? rounded<__half>(x) : x;
}

// --- one element of an activation whose dtype (F32, F16, BF16, I32) is known at run time ---------------------------

__host__ __device__ constexpr bool is_activation(DType dtype) {
  return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
}
__host__ __device__ constexpr int64_t element_bytes(DType dtype) {
  return dtype == DType::F32 || dtype == DType::I32 ? 4 : 2;
}

__device__ __forceinline__ float load(const std::byte* base, DType dtype, int64_t index) {
  if (dtype == DType::F32) return reinterpret_cast<const float*>(base)[index];
  if (dtype == DType::BF16) return to_float(reinterpret_cast<const __nv_bfloat16*>(base)[index]);
  if (dtype == DType::F16) return to_float(reinterpret_cast<const __half*>(base)[index]);
  return static_cast<float>(reinterpret_cast<const int32_t*>(base)[index]);
}

__device__ __forceinline__ void store(std::byte* base, DType dtype, int64_t index, float x) {
  if (dtype == DType::F32) {
    reinterpret_cast<float*>(base)[index] = x;
  } else if (dtype == DType::BF16) {
    reinterpret_cast<__nv_bfloat16*>(base)[index] = round_to<__nv_bfloat16>(x);
  } else {
    reinterpret_cast<__half*>(base)[index] = round_to<__half>(x);
  }
}

// Calls body(T{}) with the type that holds an activation of this dtype: on the host, to choose a kernel.
template <class Body>
void with_activation(DType dtype, const Body& body) {
  if (dtype == DType::F32) {
    body(float{});
  } else if (dtype == DType::BF16) {
    body(__nv_bfloat16{});
  } else {
    body(__half{});
  }
}

// --- sums and maxima; every lane gets the result -------------------------------------------------------------------

// Of `width` neighbouring lanes, a power of two.
template <int width = kWarp>
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int step = width / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}
template <int width = kWarp>
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int step = width / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}

// Of all threads of a one-dimensional block of whole warps. `scratch`: kWarp floats in shared memory; may be used again
// at once. Every thread of the block calls it.
__device__ __forceinline__ float block_sum(float x, float* scratch) {
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  x = warp_sum(x);
  if (warps == 1) return x;
  __syncthreads();
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  return warp_sum(lane < warps ? scratch[lane] : 0.0f);
}
__device__ __forceinline__ float block_max(float x, float* scratch) {
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  x = warp_max(x);
  if (warps == 1) return x;
  __syncthreads();
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  return warp_max(lane < warps ? scratch[lane] : -INFINITY);
}

}  // namespace g4::cuda

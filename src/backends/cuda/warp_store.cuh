// A warp's 16 rows of float32 sums, as matrix products leave them (warpgroup.cuh), stored as 16-bit floats: through
// shared memory, 64 columns at a time, so that stores are whole sectors.
#pragma once

#include "backends/cuda/device_numbers.cuh"
#include "backends/cuda/warpgroup.cuh"

namespace g4::cuda {

inline constexpr int kWarpStoreBytes = 16 * 128;  // of shared memory, aligned to 16

// Where this lane stores: of rows i * 4 + lane / 8, or nullptr for a row that is not there.
struct WarpRows {
  std::byte* to[4];
};

// What becomes of a sum before it is rounded: nothing, or it is held to bounds; NaN stays.
struct Unbounded {
  __device__ __forceinline__ float operator()(float x) const { return x; }
};
struct Bounded {
  float low, high;
  __device__ __forceinline__ float operator()(float x) const {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("max.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(low));
    asm("min.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(high));
#endif
    return x;
  }
};

template <class T>
__device__ __forceinline__ uint32_t packed(float a, float b) {
  alignas(4) const T pair[2] = {round_to<T>(a), round_to<T>(b)};
  return *reinterpret_cast<const uint32_t*>(pair);
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Rows lane / 4 and lane / 4 + 8 are multiplied by `first` and `second`; columns from `columns` on are left out.
template <class T, int kColumns, class Hold = Unbounded>
__device__ __forceinline__ void store_warp(const float (&sums)[kColumns / 2], float first, float second,
                                           std::byte* staging, const WarpRows& rows, int columns,
                                           const Hold& hold = {}) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, put_row = lane / 8 % 2 * 8 + lane % 8, chunk = lane % 8;
  const uint32_t put = shared_address(staging) + put_row * 128;
#pragma unroll
  for (int begin = 0; begin < kColumns; begin += 64) {
    __syncwarp();
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (begin + j * 16 >= kColumns) break;
      const float* s = sums + (begin + j * 16) / 2;
      const auto pair = [&](int i, float factor) { return packed<T>(hold(s[i] * factor), hold(s[i + 1] * factor)); };
      store_matrices(put + (((j * 2 + lane / 16) ^ (put_row & 7)) << 4), pair(0, first), pair(2, second), pair(4, first),
                     pair(6, second));
    }
    __syncwarp();
    const int at = begin + chunk * 8;
    if (at >= kColumns) continue;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = i * 4 + lane / 8;
      alignas(16) uint16_t values[8];
      *reinterpret_cast<uint4*>(values) =
          *reinterpret_cast<const uint4*>(staging + row * 128 + ((chunk ^ (row & 7)) << 4));
      if (!rows.to[i]) continue;
      if (at + 8 <= columns) {
        *reinterpret_cast<uint4*>(rows.to[i] + at * 2) = *reinterpret_cast<const uint4*>(values);
      } else {
#pragma unroll
        for (int e = 0; e < 8; ++e)
          if (at + e < columns) reinterpret_cast<uint16_t*>(rows.to[i])[at + e] = values[e];
      }
    }
  }
}

#endif

}  // namespace g4::cuda

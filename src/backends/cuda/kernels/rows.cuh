// Rows of activations by pieces of N neighbouring elements, N = 8 where every row of every operand begins at a multiple
// of 16 bytes, else 1. A piece is one thread's: neighbouring threads read neighbouring pieces, 16 bytes at a time.
#pragma once

#include <initializer_list>

#include "backends/cuda/device_numbers.cuh"
#include "backends/cuda/kernel.h"
#include "backends/cuda/overlap.h"

namespace g4::cuda {

inline constexpr int kPiece = 8;
inline constexpr int kThreads = 256;

// Elements [column, column + N) of a row; for N = 8 they begin at a multiple of 16 bytes.
template <int N>
__device__ __forceinline__ void load_piece(const std::byte* row, DType dtype, int64_t column, float (&x)[N]) {
  if constexpr (N == 1) {
    x[0] = load(row, dtype, column);
  } else {
    static_assert(N == kPiece);
    if (dtype == DType::F32) {
      const float4* from = reinterpret_cast<const float4*>(reinterpret_cast<const float*>(row) + column);
      const float4 a = from[0], b = from[1];
      x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w;
      x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
      return;
    }
    const uint4 bits = *reinterpret_cast<const uint4*>(row + 2 * column);
    const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (dtype == DType::BF16) {
        x[2 * i] = __uint_as_float(words[i] << 16);
        x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
      } else {
        x[2 * i] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] & 0xffffu)));
        x[2 * i + 1] = __half2float(__ushort_as_half(static_cast<unsigned short>(words[i] >> 16)));
      }
    }
  }
}

template <class T>
__device__ __forceinline__ uint32_t pair_bits(float low, float high) {
  if constexpr (std::is_same_v<T, __half>)
    return __half_as_ushort(round_to<T>(low)) | static_cast<uint32_t>(__half_as_ushort(round_to<T>(high))) << 16;
  else
    return __bfloat16_as_ushort(round_to<T>(low)) | static_cast<uint32_t>(__bfloat16_as_ushort(round_to<T>(high)))
                                                        << 16;
}

template <int N>
__device__ __forceinline__ void store_piece(std::byte* row, DType dtype, int64_t column, const float (&x)[N]) {
  if constexpr (N == 1) {
    store(row, dtype, column, x[0]);
  } else {
    static_assert(N == kPiece);
    if (dtype == DType::F32) {
      float4* to = reinterpret_cast<float4*>(reinterpret_cast<float*>(row) + column);
      to[0] = make_float4(x[0], x[1], x[2], x[3]);
      to[1] = make_float4(x[4], x[5], x[6], x[7]);
      return;
    }
    uint4 bits;
    if (dtype == DType::BF16)
      bits = make_uint4(pair_bits<__nv_bfloat16>(x[0], x[1]), pair_bits<__nv_bfloat16>(x[2], x[3]),
                        pair_bits<__nv_bfloat16>(x[4], x[5]), pair_bits<__nv_bfloat16>(x[6], x[7]));
    else
      bits = make_uint4(pair_bits<__half>(x[0], x[1]), pair_bits<__half>(x[2], x[3]), pair_bits<__half>(x[4], x[5]),
                        pair_bits<__half>(x[6], x[7]));
    *reinterpret_cast<uint4*>(row + 2 * column) = bits;
  }
}

// Whether every row of t begins at a multiple of 16 bytes.
inline bool rows_aligned(const KernelTensor& t) {
  if (reinterpret_cast<uintptr_t>(t.data) % 16) return false;
  for (int i = 0; i + 1 < t.rank; ++i)
    if (t.dim[i] > 1 && t.stride[i] % 16) return false;
  return true;
}

// Whether rows of `cols` elements can go through pieces of kPiece.
inline bool whole_pieces(int64_t cols, std::initializer_list<const KernelTensor*> tensors) {
  if (cols % kPiece) return false;
  for (const KernelTensor* t : tensors)
    if (!rows_aligned(*t)) return false;
  return true;
}

// Where a thread of a one-dimensional grid works: piece `part` of row `row`.
struct Place {
  int64_t row;
  int64_t part;
};
__device__ __forceinline__ int64_t thread_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
// `parts` pieces to a row; a 32-bit division where that does.
__device__ __forceinline__ Place place_of(int64_t index, int64_t parts) {
  if ((index | parts) >> 32) return {index / parts, index % parts};
  const auto i = static_cast<uint32_t>(index), n = static_cast<uint32_t>(parts);
  return {i / n, i % n};
}

// One thread for each of `items`; the kernel waits for its predecessor (overlap.h).
template <class... Parameters, class... Arguments>
void launch_items(const Call& call, void (*kernel)(Parameters...), int64_t items, const char* what,
                  const Arguments&... arguments) {
  launch_overlapped(kernel, call.limits->architecture, blocks_for(items, kThreads), kThreads, 0, call.stream, what,
                    arguments...);
}
// First of all in such a kernel.
__device__ __forceinline__ void take_turn() {
  release_successor();
  wait_for_predecessor();
}

}  // namespace g4::cuda

// Operands of a product on tensor cores (matrix_fragments.cuh): where a tile's chunks lie in shared memory, and integer
// codes as the exact 16-bit floats that they are multiplied as.
//
// A tile in shared memory has rows of kDepth 16-bit elements in chunks of 16 bytes; chunk c of row r lies at c ^ (r %
// 8), so that the eight rows of a fragment meet eight different groups of banks.
#pragma once

#include "backends/cuda/matrix_fragments.cuh"

namespace g4::cuda {

template <int kDepth>
__device__ __forceinline__ int tile_offset(int row, int chunk) {  // in bytes
  return row * kDepth * 2 + ((chunk ^ (row & 7)) << 4);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

template <class T>
__device__ __forceinline__ uint32_t difference(uint32_t a, uint32_t b) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    const __nv_bfloat162 d =
        __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&a), *reinterpret_cast<const __nv_bfloat162*>(&b));
    return *reinterpret_cast<const uint32_t*>(&d);
  } else {
    const __half2 d = __hsub2(*reinterpret_cast<const __half2*>(&a), *reinterpret_cast<const __half2*>(&b));
    return *reinterpret_cast<const uint32_t*>(&d);
  }
}

// Two bytes at bits 0 and 16 as code - kOffset. An integer below 128 (1024) is the low mantissa bits of a bfloat16 from
// 128 (a float16 from 1024) on; the subtraction is exact. Signed bytes: for bfloat16 the sign's weight of -128 goes
// into what is subtracted, 128 or 256; for float16 the sign is flipped, which adds 128.
template <class T, bool kSigned, int kOffset>
__device__ __forceinline__ uint32_t pair_of_codes(uint32_t pair) {
  constexpr bool kBf16 = std::is_same_v<T, __nv_bfloat16>;
  constexpr uint32_t kOne = kBf16 ? 0x43004300u : 0x64006400u;
  if constexpr (kBf16 && kSigned) return difference<T>((pair & 0x007f007fu) | kOne, (pair & 0x00800080u) | kOne);
  constexpr uint32_t kBase = kSigned ? kOffset + 128 : kOffset;
  if constexpr (kSigned) pair ^= 0x00800080u;
  return difference<T>(pair | kOne, kOne + kBase * 0x00010001u);
}

// Eight codes of two words as one chunk.
template <class T, bool kSigned, int kOffset>
__device__ __forceinline__ uint4 chunk_of_codes(uint32_t first, uint32_t second) {
  const auto convert = [](uint32_t word, uint32_t which) {
    return pair_of_codes<T, kSigned, kOffset>(__byte_perm(word, 0, which));
  };
  return {convert(first, 0x4140), convert(first, 0x4342), convert(second, 0x4140), convert(second, 0x4342)};
}

#endif

}  // namespace g4::cuda

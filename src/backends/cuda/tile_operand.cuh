// Pieces of a product on tensor cores: copies into shared memory that do not wait, fragments out of it, 16 x 8 x 16
// products, and integer codes as the exact 16-bit floats that they are multiplied as.
//
// A tile in shared memory has rows of kDepth 16-bit elements in chunks of 16 bytes; chunk c of row r lies at c ^ (r %
// 8), so that the eight rows of a fragment meet eight different groups of banks.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace g4::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

template <int kDepth>
__device__ __forceinline__ int tile_offset(int row, int chunk) {  // in bytes
  return row * kDepth * 2 + ((chunk ^ (row & 7)) << 4);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

// 16 bytes, or as many zeros.
__device__ __forceinline__ void copy_async(uint32_t to, const void* from, bool wanted) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(wanted ? 16 : 0) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most `kLeft` groups are under way.
template <int kLeft>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

__device__ __forceinline__ void load_fragments(uint32_t (&f)[4], uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(f[0]), "=r"(f[1]), "=r"(f[2]), "=r"(f[3])
               : "r"(from)
               : "memory");
}

// c += a * b
template <class T>
__device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

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

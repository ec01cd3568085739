// Hopper's asynchronous copies and tensor cores (PTX ISA: "mbarrier", "cp.async.bulk.tensor", "Asynchronous Warpgroup
// Level Matrix Instructions"): barriers in shared memory that count arrivals and bytes, copies of boxes of a tensor
// that signal them, and products [64, n] += [64, 16] [16, n] of a warpgroup (4 warps), both operands in shared memory.
//
// Operands are rows of 64 16-bit elements along the summed dimension: 128 bytes, chunk c of 16 bytes of row r at
// c ^ (r % 8), as copies with 128-byte swizzle leave them; a tile begins at a multiple of 1024. Sums: of warp w, with
// g = lane / 4 and t = lane % 4, register 4 j + 2 h + i has row 16 w + 8 h + g and column 8 j + 2 t + i.
#pragma once

#include <cuda.h>

#include "backends/cuda/matrix_fragments.cuh"

namespace g4::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// --- barriers ------------------------------------------------------------------------------------------------------

__device__ __forceinline__ void barrier_init(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// Barriers are ready for copies, and for the block's other threads once these have met.
__device__ __forceinline__ void barriers_ready() {
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void barrier_arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Arrives, and lets the phase wait for so many bytes of copies too.
__device__ __forceinline__ void barrier_expect(uint32_t barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
// Until the phase of this parity has ended.
__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t parity) {
  uint32_t done = 0;
  do {
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
  } while (!done);
}

// --- copies --------------------------------------------------------------------------------------------------------

// A box of the tensor from element (x, y, z) on, zeros outside; all its bytes count towards `barrier`.
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap& map, uint32_t barrier, int x, int y, int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(to),
      "l"(&map), "r"(barrier), "r"(x), "r"(y), "r"(z)
      : "memory");
}
// Arrives when this thread's copies of 16 bytes so far have ended.
__device__ __forceinline__ void barrier_arrive_after_copies(uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
// What this thread has stored in shared memory, or knows from a barrier to be there, may be read by tensor cores.
__device__ __forceinline__ void fence_stores() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Of each thread of the warpgroup.
template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Four 8 x 8 matrices out of registers; lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void store_matrices(uint32_t row, uint32_t m0, uint32_t m1, uint32_t m2, uint32_t m3) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row), "r"(m0), "r"(m1), "r"(m2),
               "r"(m3)
               : "memory");
}

// --- products ------------------------------------------------------------------------------------------------------

// Before the first product, and after the sums were touched otherwise.
__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until at most `pending` committed groups are under way.
template <int pending>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

// A tile of rows along the summed dimension at this address; 2 more is 16 elements further along the rows.
__device__ __forceinline__ uint64_t operand_at(uint32_t address) {
  return static_cast<uint64_t>((address & 0x3ffffu) >> 4) | uint64_t{1} << 16 | uint64_t{64} << 32 | uint64_t{1} << 62;
}

// Tiles of 64 columns, `tile_bytes` each, of rows along n (see multiply_rows).
__device__ __forceinline__ uint64_t rows_at(uint32_t address, int tile_bytes) {
  return static_cast<uint64_t>((address & 0x3ffffu) >> 4) | static_cast<uint64_t>(tile_bytes >> 4) << 16 |
         uint64_t{64} << 32 | uint64_t{1} << 62;
}

#define G4_NAMES_32                                                                                 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
  "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define G4_NAMES_64                                                                                     \
  G4_NAMES_32                                                                                           \
      ", "                                                                                              \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, " \
      "%51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define G4_NAMES_88                                                                                     \
  G4_NAMES_64                                                                                           \
      ", "                                                                                              \
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, " \
      "%83, %84, %85, %86, %87"
#define G4_NAMES_96 \
  G4_NAMES_88       \
      ", "          \
      "%88, %89, %90, %91, %92, %93, %94, %95"
#define G4_NAMES_128                                                                                 \
  G4_NAMES_96                                                                                        \
      ", "                                                                                           \
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

#define G4_SUMS_8(i)                                                                                          \
  "+f"(s[i]), "+f"(s[i + 1]), "+f"(s[i + 2]), "+f"(s[i + 3]), "+f"(s[i + 4]), "+f"(s[i + 5]), "+f"(s[i + 6]), \
      "+f"(s[i + 7])
#define G4_SUMS_32(i) G4_SUMS_8(i), G4_SUMS_8(i + 8), G4_SUMS_8(i + 16), G4_SUMS_8(i + 24)
#define G4_SUMS_64 G4_SUMS_32(0), G4_SUMS_32(32)
#define G4_SUMS_88 G4_SUMS_64, G4_SUMS_8(64), G4_SUMS_8(72), G4_SUMS_8(80)
#define G4_SUMS_96 G4_SUMS_64, G4_SUMS_32(64)
#define G4_SUMS_128 G4_SUMS_96, G4_SUMS_32(96)

#define G4_PRODUCT(n, type, names, first, second, third, ...)                                                         \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" third ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k16.f32." type \
               "." type " {" names "}, %" first ", %" second ", p, 1, 1, 0, 0;\n}"                                    \
               : __VA_ARGS__                                                                                          \
               : "l"(a), "l"(b), "r"(add))
#define G4_PRODUCT_OF(n, names, first, second, third, ...)           \
  if constexpr (std::is_same_v<T, __nv_bfloat16>)                    \
    G4_PRODUCT(n, "bf16", names, first, second, third, __VA_ARGS__); \
  else                                                               \
    G4_PRODUCT(n, "f16", names, first, second, third, __VA_ARGS__)

// sums = a * b, added to the sums if `add` is 1. Of one of these widths.
template <class T, int n>
__device__ __forceinline__ void multiply_async(float (&s)[n / 2], uint64_t a, uint64_t b, int add) {
  static_assert(n == 64 || n == 128 || n == 176 || n == 192 || n == 256);
  if constexpr (n == 64) {
    G4_PRODUCT_OF("64", G4_NAMES_32, "32", "33", "34", G4_SUMS_32(0));
  } else if constexpr (n == 128) {
    G4_PRODUCT_OF("128", G4_NAMES_64, "64", "65", "66", G4_SUMS_64);
  } else if constexpr (n == 176) {
    G4_PRODUCT_OF("176", G4_NAMES_88, "88", "89", "90", G4_SUMS_88);
  } else if constexpr (n == 192) {
    G4_PRODUCT_OF("192", G4_NAMES_96, "96", "97", "98", G4_SUMS_96);
  } else {
    G4_PRODUCT_OF("256", G4_NAMES_128, "128", "129", "130", G4_SUMS_128);
  }
}

// The same, 256 wide, with a from registers (as matrix_fragments.cuh has an A, by warp) and b's rows along n: tiles of
// 64 columns, 128 bytes of each row, 8 rows to 1024 bytes.
template <class T>
__device__ __forceinline__ void multiply_rows(float (&s)[128], const uint32_t (&a)[4], uint64_t b, int add) {
#define G4_ROWS(type)                                                                                                  \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %133, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type \
               " {" G4_NAMES_128 "}, {%128, %129, %130, %131}, %132, p, 1, 1, 1;\n}"                                   \
               : G4_SUMS_128                                                                                           \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add))
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    G4_ROWS("bf16");
  else
    G4_ROWS("f16");
#undef G4_ROWS
}

#undef G4_PRODUCT_OF
#undef G4_PRODUCT
#undef G4_SUMS_128
#undef G4_SUMS_96
#undef G4_SUMS_88
#undef G4_SUMS_64
#undef G4_SUMS_32
#undef G4_SUMS_8
#undef G4_NAMES_128
#undef G4_NAMES_96
#undef G4_NAMES_88
#undef G4_NAMES_64
#undef G4_NAMES_32

#endif

}  // namespace g4::cuda

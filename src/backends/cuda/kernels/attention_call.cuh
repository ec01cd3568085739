// What attention's kernels share: the call as plain data, what a query sees, and the arithmetic of the softmax.
//
// Every kernel cuts positions into chunks at multiples of kChunk. A chunk gives each query the largest of its scores,
// the sum of exp(score - largest) and the values weighted so; chunks are merged in ascending order. Whether one block
// goes through all chunks or many blocks take some each and a second kernel merges, whatever else is in the batch: a
// query meets the same operations in the same order, so its result has the same bits.
#pragma once

#include <climits>

#include "backends/cuda/device_numbers.cuh"
#include "backends/cuda/kernels/attention_call.h"
#include "backends/cuda/overlap.h"

namespace g4::cuda {

// The positions that a token sees, both included.
struct Sight {
  int low, high;

  __device__ __forceinline__ int first_chunk() const { return low / kChunk; }
  __device__ __forceinline__ int last_chunk() const { return high / kChunk; }
  __device__ __forceinline__ bool sees(int position) const { return position >= low && position <= high; }
  __device__ __forceinline__ bool sees_all(int begin, int end) const { return begin >= low && end - 1 <= high; }
};

__device__ __forceinline__ Sight sight_of(const AttentionCall& c, int token) {
  const int p = c.positions[token];
  return {c.window && p >= c.window ? p - c.window + 1 : 0, c.last ? c.last[token] : p};
}

// Place of a query's partial results of one chunk, or -1 for a chunk that holds nothing it sees.
__device__ __forceinline__ int64_t part_of(const AttentionCall& c, int64_t query, Sight sight, int chunk) {
  const int index = chunk - sight.first_chunk();
  return index < 0 || chunk > sight.last_chunk() || index >= c.max_chunks ? -1 : query * c.max_chunks + index;
}

// exp(x - top). The difference first: scores may be so large that their float32 product with log2(e) would be off by
// more than the differences that decide.
__device__ __forceinline__ float weight_of(float x, float top) {
  const float power = __fmul_rn(__fsub_rn(x, top), 1.44269504088896341f);
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(power));
  return y;
}

// What scores are measured from; not -inf, whose difference with itself is NaN.
__device__ __forceinline__ float shift_of(float top) { return top == -INFINITY ? 0.0f : top; }

// total = keep * total + take * part, when a part with the largest score `part_top` follows a total with `top`.
struct Merge {
  float top, keep, take;

  __device__ __forceinline__ Merge(float total_top, float part_top) : top(fmaxf(total_top, part_top)) {
    const float shift = shift_of(top);
    keep = weight_of(total_top, shift);
    take = weight_of(part_top, shift);
  }
};
__device__ __forceinline__ float merged(float total, float part, float keep, float take) {
  return __fmaf_rn(part, take, __fmul_rn(total, keep));
}

// Programmatic dependent launch: the merging kernel's blocks may be scheduled once every block here has begun.
__device__ __forceinline__ void let_dependents_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

}  // namespace g4::cuda

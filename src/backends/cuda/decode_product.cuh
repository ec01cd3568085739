// Products with panels for few rows of activations: every weight is loaded once, in 16-byte pieces, and multiplied as
// an integer by activations turned into integers (integer_activations.cuh) with byte products; a part's sum is exact
// and meets the scales in float32.
//
// A warp holds `lanes_rows` rows of a panel side by side and as many units (panel_units.cuh) as fill it; `splits` warps
// of a block share the units of the same rows. Loads run kDepth units ahead, the first of them before the predecessor
// has ended. Sums: each lane's in order, lanes by a tree, warps in order.
#pragma once

#include <utility>

#include "backends/cuda/integer_activations.cuh"
#include "backends/cuda/overlap.h"
#include "backends/cuda/panel_units_k.cuh"
#include "backends/cuda/product.h"

namespace g4::cuda {

inline constexpr int kDecodeWarps = 8;

struct DecodeShape {
  int lane_rows_log2;  // 16, 8, 4 or 2
  int splits_log2;     // 1, 2, 4 or 8
  int row_blocks;      // blocks that share one task: the rows of a chunk of tokens or of a pair of token and expert
  int tasks;           // of one of two twins
};

// acc[t] += a unit's share of the product with token t, whose records begin at codes + t * token_step.
template <class Unit, int kTokens, int kPart>
__device__ __forceinline__ void add_part(const typename Unit::Raw& raw, int unit, const uint4* codes, int token_step,
                                         float (&acc)[kTokens]) {
  uint32_t q[Unit::kWords];
  Unit::template codes<kPart>(raw, unit, q);
  const float2 scales = Unit::template scales<kPart>(raw, unit);
  const int sixteenth = Unit::sixteenth(unit, kPart);
  const uint4* record = codes + sixteenth / 2 * kRecord;
  const int half = Unit::kWords == 4 ? sixteenth & 1 : 0;
#pragma unroll
  for (int t = 0; t < kTokens; ++t, record += token_step) {
    int highs = 0, lows = 0;
#pragma unroll
    for (int i = 0; i < Unit::kWords / 4; ++i) {
      const uint4 high = record[half + i], low = record[2 + half + i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        highs = __dp4a(static_cast<int>(q[4 * i + j]), static_cast<int>(word_of(high, j)), highs);
        lows = __dp4a(static_cast<int>(q[4 * i + j]), static_cast<int>(word_of(low, j)), lows);
      }
    }
    const uint4 meta = record[4];
    const auto sum = static_cast<int>(Unit::kWords == 8 ? meta.w : half ? meta.z : meta.y);
    const float product = static_cast<float>(highs * 256 + lows - Unit::kOffset * sum);
    const float part =
        Unit::kMinimum ? fmaf(scales.y, static_cast<float>(sum), scales.x * product) : scales.x * product;
    acc[t] = fmaf(part, __uint_as_float(meta.x), acc[t]);
  }
}

template <class Unit, int kTokens>
__device__ __forceinline__ void add_unit(const typename Unit::Raw& raw, int unit, const uint4* codes, int token_step,
                                         float (&acc)[kTokens]) {
  [&]<int... kPart>(std::integer_sequence<int, kPart...>) {
    (add_part<Unit, kTokens, kPart>(raw, unit, codes, token_step, acc), ...);
  }
  (std::make_integer_sequence<int, Unit::kParts>{});
}

// One token is turned into integers by every block for itself, in shared memory; several lie in `records`, rows padded
// to whole chunks.
template <DType kType, int kTokens>
__global__ void __launch_bounds__(kDecodeWarps* kWarp, kTokens == 1 ? 3 : 2)
    decode_product(const Product p, const DecodeShape s, const uint4* records) {
  using Unit = PanelUnit<kType>;
  constexpr int kDepth = sizeof(typename Unit::Raw) <= 32 ? 4 : 2;
  extern __shared__ uint4 own_records[];
  __shared__ float partial[kDecodeWarps][kTokens][kPanelRows];

  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int either = static_cast<int>(blockIdx.x) / s.row_blocks,
            row_block = static_cast<int>(blockIdx.x) % s.row_blocks;
  const bool twin = either >= s.tasks;
  const int task = twin ? either - s.tasks : either;
  const int k = static_cast<int>(p.k), units = k / Unit::kWeights, blocks = k / elements_of_block(kType);
  const int lane_rows = 1 << s.lane_rows_log2, splits = 1 << s.splits_log2;
  const int row = lane & (lane_rows - 1);
  const int lane_units = kWarp >> s.lane_rows_log2, step = lane_units << s.splits_log2;
  const int first_unit = (warp & (splits - 1)) * lane_units + (lane >> s.lane_rows_log2);
  const int groups = static_cast<int>(p.n) >> s.lane_rows_log2, groups_a_block = kDecodeWarps >> s.splits_log2;
  const int64_t panel_bytes = p.w_row * kPanelRows;

  if (p.choices) wait_for_predecessor();  // it may have chosen the expert
  const std::byte* matrix = p.matrix(p.expert(task)) + (twin ? p.twin_w : 0);
  int group = row_block * groups_a_block + (warp >> s.splits_log2);
  typename Unit::Raw raw[kDepth];
  const auto load_first = [&] {
    const int first_row = group << s.lane_rows_log2;
    const Panel panel{matrix + first_row / kPanelRows * panel_bytes, blocks};
#pragma unroll
    for (int d = 0; d < kDepth; ++d)
      if (group < groups && first_unit + d * step < units)
        raw[d] = Unit::load(panel, first_unit + d * step, first_row % static_cast<int>(kPanelRows) + row);
  };
  load_first();

  if (!p.choices) wait_for_predecessor();
  const uint4* codes = own_records;
  const int token_step = k / kActBlock * kRecord;
  if constexpr (kTokens == 1) {
    quantize_row(p.x_row(task), p.x.dtype, k, own_records);
    __syncthreads();
  } else {
    codes = records + static_cast<int64_t>(task) * kTokens * token_step;
  }
  release_successor();

  const auto finish = [&](int t, int column, float sum) {
    const auto out_row = static_cast<uint32_t>(task * kTokens + t);
    if (out_row < p.rows) store(p.out_row(out_row) + (twin ? p.twin_out : 0), p.out.dtype, column, sum * p.alpha);
  };
  for (int first = row_block * groups_a_block; first < groups; first += s.row_blocks * groups_a_block) {
    float acc[kTokens] = {};
    if (group < groups) {
      const int first_row = group << s.lane_rows_log2;
      const Panel panel{matrix + first_row / kPanelRows * panel_bytes, blocks};
      const int panel_row = first_row % static_cast<int>(kPanelRows) + row;
      for (int unit = first_unit; unit < units; unit += kDepth * step) {
#pragma unroll
        for (int d = 0; d < kDepth; ++d) {
          const int at = unit + d * step, next = at + kDepth * step;
          if (at < units) add_unit<Unit, kTokens>(raw[d], at, codes, token_step, acc);
          if (next < units) raw[d] = Unit::load(panel, next, panel_row);
        }
      }
    }
    const int done = group;
    group += s.row_blocks * groups_a_block;
    load_first();
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
      for (int lanes = lane_rows; lanes < kWarp; lanes *= 2) acc[t] += __shfl_xor_sync(kAllLanes, acc[t], lanes);
    if (splits == 1) {
      if (lane < lane_rows && done < groups)
#pragma unroll
        for (int t = 0; t < kTokens; ++t) finish(t, done * lane_rows + row, acc[t]);
      continue;
    }
    if (lane < lane_rows)
#pragma unroll
      for (int t = 0; t < kTokens; ++t) partial[warp][t][row] = acc[t];
    __syncthreads();
    const int sums = groups_a_block * kTokens << s.lane_rows_log2;
    for (int i = static_cast<int>(threadIdx.x); i < sums; i += kDecodeWarps * kWarp) {
      const int r = i & (lane_rows - 1), rest = i >> s.lane_rows_log2, t = rest % kTokens, g = rest / kTokens;
      float sum = partial[g * splits][t][r];
      for (int w = 1; w < splits; ++w) sum += partial[g * splits + w][t][r];
      if (first + g < groups) finish(t, (first + g) * lane_rows + r, sum);
    }
    __syncthreads();
  }
}

using DecodeKernel = void (*)(Product, DecodeShape, const uint4*);

// The kernel for chunks of 1, 2, 4 or 8 tokens; nullptr for formats of the other file or without panels.
DecodeKernel decode_kernel(DType dtype, int tokens);
DecodeKernel decode_kernel_k(DType dtype, int tokens);

template <DType kType>
DecodeKernel decode_kernel_of(int tokens) {
  switch (tokens) {
    case 1:
      return decode_product<kType, 1>;
    case 2:
      return decode_product<kType, 2>;
    case 4:
      return decode_product<kType, 4>;
    default:
      return decode_product<kType, 8>;
  }
}

}  // namespace g4::cuda

// Products on tensor cores, for many rows of activations: kRows x kColumns outputs a block, float32 sums.
//
// Weights in panels enter as their integer codes, exact in 16-bit floats; products over a part that shares a scale go
// into a fresh accumulator, which a float32 multiply-add with the scale adds to the running sum, so decoded weights
// stay exact. Minima meet the sums of activations over the part: products with ones. 16-bit weights take the same path
// without scales; their accumulators are fresh every 32 columns too, because tensor cores truncate what they add.
//
// Activations (and 16-bit weights) are copied kStages steps of kDepth columns ahead; panels are loaded into registers
// two steps ahead and converted one step ahead into one of two buffers. Warps form 2 rows of kColumns / 32.
#pragma once

#include <utility>

#include "backends/cuda/device_numbers.cuh"
#include "backends/cuda/overlap.h"
#include "backends/cuda/pair_order.h"
#include "backends/cuda/panel_units_k.cuh"
#include "backends/cuda/tile_operand.cuh"

namespace g4::cuda {

// What a kernel for weights of a format in tiles of this size takes.
template <DType kType, int kTileRows, int kTileColumns>
struct TileShape {
  static constexpr bool kPanels = panel_fields(kType).count > 0;
  static constexpr int kUnit = [] {
    if constexpr (kPanels)
      return PanelUnit<kType>::kWeights;
    else
      return 32;
  }();
  static constexpr int kPart = [] {  // columns to a fresh accumulator
    if constexpr (kPanels)
      return PanelUnit<kType>::kWords * 4;
    else
      return 32;
  }();
  static constexpr bool kMinimum = [] {
    if constexpr (kPanels)
      return PanelUnit<kType>::kMinimum;
    else
      return false;
  }();
  static constexpr int kRows = kTileRows, kColumns = kTileColumns, kDepth = 2 * kUnit;
  static constexpr int kThreads = 2 * kColumns, kWarpColumns = kColumns / 32;
  static constexpr int kStages = kDepth > 64 ? 2 : 3;
  static constexpr int kParts = kDepth / kPart;
  static constexpr int kXBytes = kRows * kDepth * 2, kWBytes = kColumns * kDepth * 2;
  static constexpr int kWBuffers = kPanels ? 2 : kStages;
  static constexpr int kScaleBytes = kPanels ? kParts * kColumns * 4 * (kMinimum ? 2 : 1) : 0;  // a buffer
  static constexpr int kSharedBytes = kStages * kXBytes + kWBuffers * kWBytes + 2 * kScaleBytes;
  static constexpr int kResident = kSharedBytes > 113 * 1024 ? 1 : kColumns == 64 && kSharedBytes <= 56 * 1024 ? 4 : 2;
};

__device__ __forceinline__ void store_pair(std::byte* row, DType dtype, int64_t column, float a, float b, int64_t n) {
  std::byte* at = row + column * element_bytes(dtype);
  if (column + 1 < n && reinterpret_cast<uintptr_t>(at) % (2 * element_bytes(dtype)) == 0) {
    if (dtype == DType::F32) {
      *reinterpret_cast<float2*>(at) = {a, b};
    } else if (dtype == DType::BF16) {
      *reinterpret_cast<__nv_bfloat162*>(at) = {round_to<__nv_bfloat16>(a), round_to<__nv_bfloat16>(b)};
    } else {
      *reinterpret_cast<__half2*>(at) = {round_to<__half>(a), round_to<__half>(b)};
    }
    return;
  }
  if (column < n) store(row, dtype, column, a);
  if (column + 1 < n) store(row, dtype, column + 1, b);
}

template <DType kType, class T, int kTileRows, int kTileColumns>
__global__ void __launch_bounds__(TileShape<kType, kTileRows, kTileColumns>::kThreads,
                                  TileShape<kType, kTileRows, kTileColumns>::kResident)
    tile_product(const Product p, const PairOrder o, int row_tiles, int column_tiles) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  using S = TileShape<kType, kTileRows, kTileColumns>;
  constexpr int kRowTiles = S::kRows / 32, kColumnTiles = 4;  // of a warp: 16 rows, 8 columns each
  constexpr int kChunks = S::kDepth / 8;                      // of a tile's row
  extern __shared__ __align__(128) std::byte shared[];
  __shared__ int64_t x_offsets[S::kRows];
  std::byte* const ws = shared + S::kStages * S::kXBytes;
  auto* const scales = reinterpret_cast<float*>(ws + S::kWBuffers * S::kWBytes);

  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  // Blocks that run together share weights and activations: eight tiles of rows by all of columns.
  constexpr int kBand = 8;
  const int band = static_cast<int>(blockIdx.x) / (kBand * column_tiles) * kBand;
  const int band_rows = min(kBand, row_tiles - band);
  const int in_band = static_cast<int>(blockIdx.x) - band * column_tiles;
  const int row_tile = band + in_band % band_rows, column_tile = in_band / band_rows;
  const int first_column = column_tile * S::kColumns;
  const int k = static_cast<int>(p.k), n = static_cast<int>(p.n), steps = (k + S::kDepth - 1) / S::kDepth;

  wait_for_predecessor();
  release_successor();
  const RowTile tile = o.tile(row_tile);
  if (!tile.count) return;
  const std::byte* matrix = p.matrix(tile.expert);
  for (int i = thread; i < S::kRows; i += S::kThreads)
    x_offsets[i] = i < tile.count ? p.x_row(o.row(tile.first + i)) - p.x.data : -1;
  __syncthreads();

  const auto copy_step = [&](int step) {
    if (step < steps) {
      const int chunk = thread % kChunks, column = step * S::kDepth + chunk * 8;
      const uint32_t xs = shared_address(shared) + step % S::kStages * S::kXBytes;
#pragma unroll
      for (int i = 0; i < S::kRows * kChunks / S::kThreads; ++i) {
        const int row = thread / kChunks + i * (S::kThreads / kChunks);
        const int64_t offset = x_offsets[row];
        const bool wanted = offset >= 0 && column < k;
        copy_async(xs + tile_offset<S::kDepth>(row, chunk), p.x.data + (wanted ? offset + column * 2 : 0), wanted);
      }
      if constexpr (!S::kPanels) {
        const uint32_t to = shared_address(ws) + step % S::kStages * S::kWBytes;
#pragma unroll
        for (int i = 0; i < S::kColumns * kChunks / S::kThreads; ++i) {
          const int row = thread / kChunks + i * (S::kThreads / kChunks);
          const bool wanted = first_column + row < n && column < k;
          copy_async(to + tile_offset<S::kDepth>(row, chunk),
                     matrix + (wanted ? (first_column + row) * p.w_row + column * 2 : 0), wanted);
        }
      }
    }
    commit_copies();
  };

  float acc[kRowTiles][kColumnTiles][4] = {};
  const int warp_row = warp / S::kWarpColumns * (S::kRows / 2), warp_column = warp % S::kWarpColumns * 32;

  // One step's products: x of stage `step`, weights of buffer `step`.
  const auto multiply_step = [&](int step) {
    const uint32_t xs = shared_address(shared) + step % S::kStages * S::kXBytes;
    const uint32_t wt = shared_address(ws) + step % S::kWBuffers * S::kWBytes;
    const float* own = scales + step % 2 * (S::kScaleBytes / 4) + warp_column + lane % 4 * 2;
#pragma unroll 1
    for (int part = 0; part < S::kParts; ++part) {
      constexpr int kSlices = S::kPart / 16;
      uint32_t b[kSlices][kColumnTiles / 2][4];
#pragma unroll
      for (int slice = 0; slice < kSlices; ++slice)
#pragma unroll
        for (int j = 0; j < kColumnTiles / 2; ++j) {
          const int row = warp_column + j * 16 + lane / 16 * 8 + lane % 8;
          const int chunk = (part * kSlices + slice) * 2 + lane / 8 % 2;
          load_matrices(b[slice][j], wt + tile_offset<S::kDepth>(row, chunk));
        }
      float2 scale[kColumnTiles], minimum[kColumnTiles];
      if constexpr (S::kPanels) {
#pragma unroll
        for (int j = 0; j < kColumnTiles; ++j) {
          scale[j] = *reinterpret_cast<const float2*>(own + part * S::kColumns + j * 8);
          if constexpr (S::kMinimum)
            minimum[j] = *reinterpret_cast<const float2*>(own + (S::kParts + part) * S::kColumns + j * 8);
        }
      }
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        uint32_t a[kSlices][4];
#pragma unroll
        for (int slice = 0; slice < kSlices; ++slice)
          load_matrices(a[slice], xs + tile_offset<S::kDepth>(warp_row + i * 16 + lane % 16,
                                                               (part * kSlices + slice) * 2 + lane / 16));
        float sums[4] = {};
        if constexpr (S::kMinimum) {
          constexpr uint32_t kOnes = std::is_same_v<T, __nv_bfloat16> ? 0x3f803f80u : 0x3c003c00u;
#pragma unroll
          for (int slice = 0; slice < kSlices; ++slice) multiply<T>(sums, a[slice], kOnes, kOnes);
        }
#pragma unroll
        for (int j = 0; j < kColumnTiles; ++j) {
          float c[4] = {};
#pragma unroll
          for (int slice = 0; slice < kSlices; ++slice)
            multiply<T>(c, a[slice], b[slice][j / 2][j % 2 * 2], b[slice][j / 2][j % 2 * 2 + 1]);
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            if constexpr (S::kPanels) {
              acc[i][j][e] = fmaf(c[e], e % 2 ? scale[j].y : scale[j].x, acc[i][j][e]);
              if constexpr (S::kMinimum)
                acc[i][j][e] = fmaf(sums[e / 2 * 2], e % 2 ? minimum[j].y : minimum[j].x, acc[i][j][e]);
            } else {
              acc[i][j][e] += c[e];
            }
          }
        }
      }
    }
  };

  for (int step = 0; step < S::kStages - 1; ++step) copy_step(step);
  if constexpr (S::kPanels) {
    using Unit = PanelUnit<kType>;
    const int column = first_column + thread % S::kColumns, units = k / S::kUnit;
    const Panel panel{matrix + static_cast<int64_t>(column / kPanelRows) * (p.w_row * kPanelRows),
                      k / elements_of_block(kType)};
    typename Unit::Raw raw;
    const auto unit_of = [&](int step) { return step * 2 + thread / S::kColumns; };
    const auto load_step = [&](int step) {
      if (column < n && unit_of(step) < units)
        raw = Unit::load(panel, unit_of(step), column % static_cast<int>(kPanelRows));
    };
    const auto convert_step = [&](int step) {
      const int unit = unit_of(step);
      const bool inside = column < n && unit < units;
      std::byte* to = ws + step % 2 * S::kWBytes;
      float* own = scales + step % 2 * (S::kScaleBytes / 4) + thread % S::kColumns;
      [&]<int... kPart>(std::integer_sequence<int, kPart...>) {
        const auto convert = [&]<int kIndex>() {
          uint32_t q[Unit::kWords];
          Unit::template codes<kIndex>(raw, unit, q);
          const float2 values = Unit::template scales<kIndex>(raw, unit);
          const int sixteenth = Unit::sixteenth(unit, kIndex) - step * (S::kDepth / 16);
#pragma unroll
          for (int c = 0; c < Unit::kWords / 2; ++c) {
            uint4 chunk = chunk_of_codes<T, Unit::kSigned, Unit::kOffset>(q[2 * c], q[2 * c + 1]);
            if (!inside) chunk = {0, 0, 0, 0};
            *reinterpret_cast<uint4*>(to + tile_offset<S::kDepth>(thread % S::kColumns, sixteenth * 2 + c)) = chunk;
          }
          const int part = sixteenth / (S::kPart / 16);
          own[part * S::kColumns] = inside ? values.x : 0.0f;
          if constexpr (S::kMinimum) own[(S::kParts + part) * S::kColumns] = inside ? values.y : 0.0f;
        };
        (convert.template operator()<kPart>(), ...);
      }
      (std::make_integer_sequence<int, Unit::kParts>{});
    };
    raw = {};
    load_step(0);
    convert_step(0);
    load_step(1);
    for (int step = 0; step < steps; ++step) {
      wait_copies<S::kStages - 2>();
      __syncthreads();
      copy_step(step + S::kStages - 1);
      if (step + 1 < steps) convert_step(step + 1);
      load_step(step + 2);
      multiply_step(step);
    }
  } else {
    for (int step = 0; step < steps; ++step) {
      wait_copies<S::kStages - 2>();
      __syncthreads();
      copy_step(step + S::kStages - 1);
      multiply_step(step);
    }
  }

#pragma unroll
  for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = warp_row + i * 16 + half * 8 + lane / 4;
      if (row >= tile.count) continue;
      std::byte* out = p.out_row(o.row(tile.first + row));
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j)
        store_pair(out, p.out.dtype, first_column + warp_column + j * 8 + lane % 4 * 2, acc[i][j][half * 2] * p.alpha,
                   acc[i][j][half * 2 + 1] * p.alpha, n);
    }
#endif
}

struct TileKernel {
  void (*kernel)(Product, PairOrder, int, int) = nullptr;
  int rows = 0, columns = 0, threads = 0, shared_bytes = 0;
};

template <DType kType, class T, int kRows, int kColumns>
TileKernel tile_kernel_of() {
  using S = TileShape<kType, kRows, kColumns>;
  return {tile_product<kType, T, kRows, kColumns>, kRows, kColumns, S::kThreads, S::kSharedBytes};
}

// 16-bit floats multiply 16-bit floats of their own type. `large`: 128 x 128, for bfloat16 activations.
TileKernel tile_kernel_floats(DType w, DType x, bool large);
TileKernel tile_kernel_simple(DType w, DType x, bool large);
TileKernel tile_kernel_levels(DType w, DType x, bool large);
TileKernel tile_kernel_k(DType w, DType x, bool large);

template <DType kType>
TileKernel panel_tile_kernel(DType x, bool large) {
  if (x == DType::F16) return tile_kernel_of<kType, __half, 64, 64>();
  return large ? tile_kernel_of<kType, __nv_bfloat16, 128, 128>() : tile_kernel_of<kType, __nv_bfloat16, 64, 64>();
}

}  // namespace g4::cuda

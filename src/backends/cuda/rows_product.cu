// Products with weights in rows: float32 sums of products of exact values, for any format, strides and length.
//
// Few rows of activations and 16-bit or 32-bit weights at 16-byte addresses: `stream_rows`, bound by memory. A warp
// takes two rows of weights, `splits` warps of a block share their columns; loads run kDepth pieces of eight columns
// ahead, the first of them before the predecessor has ended. Anything else: `any_rows`, one element at a time for few
// activations, and `any_tile`, where 64 x 64 outputs share decoded weights, for many.
// Sums: each lane's in order, lanes by a tree, warps in order.
#include "backends/cuda/block_values.cuh"
#include "backends/cuda/integer_activations.cuh"
#include "backends/cuda/overlap.h"
#include "backends/cuda/pair_order.h"

namespace g4::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kPiece = 8;  // columns
constexpr int64_t kWantedWarps = 24;
constexpr int64_t kResident = 3;  // blocks of a multiprocessor, as __launch_bounds__ below

struct RowsShape {
  int splits;
  int row_blocks;  // that share a task
  int tasks;       // of one of two twins
};

struct Eight {
  uint4 words[2];
};

template <DType kType>
__device__ __forceinline__ Eight load_weights(const std::byte* at) {
  const auto* pieces = reinterpret_cast<const uint4*>(at);
  Eight e;
  e.words[0] = __ldcs(pieces);
  if constexpr (kType == DType::F32) e.words[1] = __ldcs(pieces + 1);
  return e;
}

template <DType kType>
__device__ __forceinline__ float weight_of(const Eight& e, int i) {
  const auto word = [&](int w) {
    const uint4& piece = e.words[w / 4];
    return w % 4 == 0 ? piece.x : w % 4 == 1 ? piece.y : w % 4 == 2 ? piece.z : piece.w;
  };
  if constexpr (kType == DType::F32) return __uint_as_float(word(i));
  const uint32_t pair = word(i / 2);
  if constexpr (kType == DType::BF16) return __uint_as_float(i % 2 ? pair & 0xffff0000u : pair << 16);
  return __half2float(__ushort_as_half(static_cast<unsigned short>(i % 2 ? pair >> 16 : pair)));
}

template <DType kType, int kTokens>
__global__ void __launch_bounds__(kThreads, kTokens == 1 ? kResident : 2)
    stream_rows(const Product p, const RowsShape s) {
  constexpr int kRows = 2, kDepth = kType == DType::F32 ? 2 : 4;
  constexpr int kPieceBytes = kPiece * bytes_of_block(kType);
  __shared__ float partial[kWarps][kTokens][kRows];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int either = static_cast<int>(blockIdx.x) / s.row_blocks,
            row_block = static_cast<int>(blockIdx.x) % s.row_blocks;
  const bool twin = either >= s.tasks;
  const int task = twin ? either - s.tasks : either;
  const int pieces = static_cast<int>(p.k) / kPiece, n = static_cast<int>(p.n);
  const int groups = (n + kRows - 1) / kRows, groups_a_block = kWarps / s.splits;
  const int first_piece = warp % s.splits * kWarp + lane, step = s.splits * kWarp;

  if (p.choices) wait_for_predecessor();  // it may have chosen the expert
  const std::byte* matrix = p.matrix(p.expert(task)) + (twin ? p.twin_w : 0);
  int group = row_block * groups_a_block + warp / s.splits;
  Eight raw[kDepth][kRows];
  const auto load_piece = [&](Eight(&to)[kRows], int piece) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {  // past the last row: that row again
      const int row = min(group * kRows + r, n - 1);
      to[r] = load_weights<kType>(matrix + row * p.w_row + static_cast<int64_t>(piece) * kPieceBytes);
    }
  };
  const auto load_first = [&] {
#pragma unroll
    for (int d = 0; d < kDepth; ++d)
      if (group < groups && first_piece + d * step < pieces) load_piece(raw[d], first_piece + d * step);
  };
  load_first();
  if (!p.choices) wait_for_predecessor();
  release_successor();

  const std::byte* x[kTokens];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    x[t] = p.x_row(static_cast<uint32_t>(min(task * kTokens + t, static_cast<int>(p.rows) - 1)));
  }
  const auto finish = [&](int t, int row, float sum) {
    const auto out_row = static_cast<uint32_t>(task * kTokens + t);
    if (out_row < p.rows && row < n)
      store(p.out_row(out_row) + (twin ? p.twin_out : 0), p.out.dtype, row, sum * p.alpha);
  };
  for (int first = row_block * groups_a_block; first < groups; first += s.row_blocks * groups_a_block) {
    float acc[kTokens][kRows] = {};
    if (group < groups)
      for (int piece = first_piece; piece < pieces; piece += kDepth * step) {
#pragma unroll
        for (int d = 0; d < kDepth; ++d) {
          const int at = piece + d * step, next = at + kDepth * step;
          if (at < pieces)
#pragma unroll
            for (int t = 0; t < kTokens; ++t) {
              float values[kPiece];
              load_eight(x[t], p.x.dtype, at * kPiece, values);
#pragma unroll
              for (int r = 0; r < kRows; ++r)
#pragma unroll
                for (int i = 0; i < kPiece; ++i) acc[t][r] = fmaf(weight_of<kType>(raw[d][r], i), values[i], acc[t][r]);
            }
          if (next < pieces) load_piece(raw[d], next);
        }
      }
    const int done = group;
    group += s.row_blocks * groups_a_block;
    load_first();
#pragma unroll
    for (int t = 0; t < kTokens; ++t)
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        acc[t][r] = warp_sum(acc[t][r]);
        if (lane != 0) continue;
        if (s.splits > 1)
          partial[warp][t][r] = acc[t][r];
        else if (done < groups)
          finish(t, done * kRows + r, acc[t][r]);
      }
    if (s.splits == 1) continue;
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < groups_a_block * kTokens * kRows) {
      const int i = static_cast<int>(threadIdx.x), r = i % kRows, t = i / kRows % kTokens, g = i / (kRows * kTokens);
      float sum = partial[g * s.splits][t][r];
      for (int w = 1; w < s.splits; ++w) sum += partial[g * s.splits + w][t][r];
      if (first + g < groups) finish(t, (first + g) * kRows + r, sum);
    }
    __syncthreads();
  }
}

__device__ __forceinline__ float any_weight(DType dtype, const std::byte* row, int64_t column) {
  return is_activation(dtype) ? load(row, dtype, column) : weight_value(dtype, row, column);
}

// A warp for one row of weights and one of activations.
__global__ void __launch_bounds__(kThreads) any_rows(const Product p) {
  wait_for_predecessor();
  release_successor();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t job = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int64_t column = job % p.n;
  const auto row = static_cast<uint32_t>(job / p.n);
  if (row >= p.rows) return;
  const std::byte* w = p.matrix(p.expert(row)) + column * p.w_row;
  const std::byte* x = p.x_row(row);
  float acc = 0.0f;
  for (int64_t i = lane; i < p.k; i += kWarp) acc = fmaf(any_weight(p.w.dtype, w, i), load(x, p.x.dtype, i), acc);
  acc = warp_sum(acc);
  if (lane == 0) store(p.out_row(row), p.out.dtype, column, acc * p.alpha);
}

constexpr int kTile = 64, kTileDepth = 16;

// Block (tile of rows, 64 columns of the output); each thread sums 4 x 4 of them.
__global__ void __launch_bounds__(kThreads) any_tile(const Product p, const PairOrder o, int column_tiles) {
  __shared__ float xs[kTileDepth][kTile + 4], ws[kTileDepth][kTile + 4];
  wait_for_predecessor();
  release_successor();
  const int thread = static_cast<int>(threadIdx.x);
  const RowTile tile = o.tile(static_cast<int>(blockIdx.x) / column_tiles);
  const int64_t first_column = static_cast<int64_t>(blockIdx.x % column_tiles) * kTile;
  if (!tile.count) return;
  const std::byte* matrix = p.matrix(tile.expert);
  const int row4 = thread / 16 * 4, column4 = thread % 16 * 4;
  float acc[4][4] = {};
  for (int64_t begin = 0; begin < p.k; begin += kTileDepth) {
    for (int i = thread; i < kTile * kTileDepth; i += kThreads) {
      const int at = i / kTileDepth, depth = i % kTileDepth;
      const int64_t column = first_column + at, k = begin + depth;
      xs[depth][at] = at < tile.count && k < p.k ? load(p.x_row(o.row(tile.first + at)), p.x.dtype, k) : 0.0f;
      ws[depth][at] = column < p.n && k < p.k ? any_weight(p.w.dtype, matrix + column * p.w_row, k) : 0.0f;
    }
    __syncthreads();
    // Past the end a row's NaN would meet zeros: stop there.
    const int depths = static_cast<int>(p.k - begin < kTileDepth ? p.k - begin : kTileDepth);
#pragma unroll 4
    for (int depth = 0; depth < depths; ++depth) {
      const auto x = *reinterpret_cast<const float4*>(&xs[depth][row4]);
      const auto w = *reinterpret_cast<const float4*>(&ws[depth][column4]);
      const float xv[4] = {x.x, x.y, x.z, x.w}, wv[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) acc[i][j] = fmaf(xv[i], wv[j], acc[i][j]);
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) {
    if (row4 + i >= tile.count) break;
    std::byte* out = p.out_row(o.row(tile.first + row4 + i));
    for (int j = 0; j < 4; ++j)
      if (first_column + column4 + j < p.n) store(out, p.out.dtype, first_column + column4 + j, acc[i][j] * p.alpha);
  }
}

bool streams(const Product& p) {
  const bool aligned =
      reinterpret_cast<uintptr_t>(p.w.data) % 16 == 0 && p.w_row % 16 == 0 && (!p.choices || p.w.stride[0] % 16 == 0);
  return is_activation(p.w.dtype) && aligned && p.k % kPiece == 0 && p.n < (int64_t{1} << 31);
}

using StreamKernel = void (*)(Product, RowsShape);

template <DType kType>
StreamKernel stream_kernel(int tokens) {
  return tokens == 1 ? stream_rows<kType, 1> : tokens == 2 ? stream_rows<kType, 2> : stream_rows<kType, 4>;
}

void launch_stream(const Product& p, const Call& call) {
  const int chunk = p.choices || p.rows == 1 ? 1 : p.rows == 2 ? 2 : 4;
  const int64_t tasks = (p.rows + chunk - 1) / chunk, processors = call.limits->multiprocessors;
  const StreamKernel kernel = p.w.dtype == DType::BF16  ? stream_kernel<DType::BF16>(chunk)
                              : p.w.dtype == DType::F16 ? stream_kernel<DType::F16>(chunk)
                                                        : stream_kernel<DType::F32>(chunk);
  const int64_t groups = (p.n + 1) / 2, pieces = p.k / kPiece;
  const int64_t all = p.twin_w ? 2 * tasks : tasks;
  RowsShape s{1, 1, static_cast<int>(tasks)};
  while (s.splits < kWarps && tasks * groups * s.splits < kWantedWarps * processors && pieces >= 2 * s.splits * kWarp)
    s.splits *= 2;
  const int64_t needed = (groups * s.splits + kWarps - 1) / kWarps, room = kResident * processors / all;
  s.row_blocks = static_cast<int>(needed < room ? needed : room < 1 ? 1 : room);
  launch_overlapped(kernel, call.limits->architecture, static_cast<unsigned>(all * s.row_blocks), kThreads, 0,
                    call.stream, "matmul", p, s);
}

// Pairs that a sort would not help.
constexpr int64_t kFewPairs = 64;

bool few(const Product& p) { return p.rows <= (p.choices ? kFewPairs : kDecodeRows) || !can_order(p); }

}  // namespace

bool rows_take_twins(const Product& p) { return few(p) && streams(p) && (p.choices || p.rows == 1); }

int64_t rows_workspace(const Product& p) { return few(p) ? 0 : order_workspace(p, kTile); }

void launch_rows(const Product& p, const Call& call) {
  const int architecture = call.limits->architecture;
  if (few(p) && streams(p)) return launch_stream(p, call);
  if (few(p))
    return launch_overlapped(any_rows, architecture, blocks_for(p.rows * p.n, kWarps), kThreads, 0, call.stream,
                             "matmul", p);
  const int64_t column_tiles = (p.n + kTile - 1) / kTile;
  launch_overlapped(any_tile, architecture, static_cast<unsigned>(most_tiles(p, kTile) * column_tiles), kThreads, 0,
                    call.stream, "matmul", p, order_pairs(p, kTile, call), static_cast<int>(column_tiles));
}

}  // namespace g4::cuda

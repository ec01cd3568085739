// rms_norm: see ops/rms_norm.h. A row is a warp's or, from kWarpColumns on, a block's. A thread's first piece of the
// row and of the weight stays in registers; rows longer than a piece a thread are read twice.
#include "backends/cuda/kernels/rows.cuh"
#include "ops/rms_norm.h"

namespace g4::cuda {

namespace {

constexpr int64_t kWarpColumns = 512;
constexpr int kWarpRows = 4;  // rows of a block whose rows are warps'

// The sum over a whole row, known to all of its threads.
template <bool kWholeBlock>
__device__ __forceinline__ float row_sum(float x) {
  if constexpr (kWholeBlock) {
    __shared__ float scratch[kWarp];
    return block_sum(x, scratch);
  } else {
    return warp_sum(x);
  }
}

template <int N>
__device__ __forceinline__ float squares(const float (&x)[N]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < N; ++i) sum = fmaf(x[i], x[i], sum);
  return sum;
}

template <int N>
__device__ __forceinline__ void scale_and_store(float (&x)[N], float factor, const float (&w)[N], std::byte* row,
                                                DType dtype, int64_t column) {
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = __fmul_rn(__fmul_rn(x[i], factor), w[i]);
  store_piece(row, dtype, column, x);
}

// `weight` may be nullptr: ones.
template <int N>
__device__ __forceinline__ void load_weight(const std::byte* weight, int64_t column, float (&w)[N]) {
  if (weight) return load_piece(weight, DType::F32, column, w);
#pragma unroll
  for (int i = 0; i < N; ++i) w[i] = 1.0f;
}

template <int N, bool kWholeBlock>
__global__ void __launch_bounds__(1024)
    rms_norm_kernel_of(const __grid_constant__ KernelTensor x, const std::byte* weight,
                       const __grid_constant__ KernelTensor out, float eps) {
  take_turn();
  const int64_t row = kWholeBlock ? blockIdx.x : static_cast<int64_t>(blockIdx.x) * kWarpRows + threadIdx.x / kWarp;
  if (row >= out.rows) return;  // a whole warp's, or nobody's
  const std::byte* from = x.row(row);
  std::byte* to = out.row(row);
  const int64_t step = (kWholeBlock ? blockDim.x : kWarp) * N;
  const int64_t first = (kWholeBlock ? threadIdx.x : threadIdx.x % kWarp) * N;
  float mine[N] = {}, w[N] = {};
  if (first < out.cols) {
    load_piece(from, x.dtype, first, mine);
    load_weight(weight, first, w);
  }
  float sum = squares(mine);
  for (int64_t c = first + step; c < out.cols; c += step) {
    float more[N];
    load_piece(from, x.dtype, c, more);
    sum += squares(more);
  }
  const float mean = row_sum<kWholeBlock>(sum) / static_cast<float>(out.cols);
  const float factor = 1.0f / sqrtf(mean + eps);
  if (first < out.cols) scale_and_store(mine, factor, w, to, out.dtype, first);
  for (int64_t c = first + step; c < out.cols; c += step) {
    load_piece(from, x.dtype, c, mine);
    load_weight(weight, c, w);
    scale_and_store(mine, factor, w, to, out.dtype, c);
  }
}

bool supports(const Call& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype) &&
         (call.n_in < 2 || call.in[1].dtype == DType::F32);
}

template <int N>
void launch_pieces(const Call& call, const std::byte* weight) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const float eps = static_cast<const RmsNormParams*>(call.params)->eps;
  const bool whole_block = out.cols >= kWarpColumns;
  const int64_t warps = (out.cols + N * kWarp - 1) / (N * kWarp);
  const int64_t threads = whole_block ? (warps < 32 ? warps : 32) * kWarp : kWarpRows * kWarp;
  const unsigned blocks = whole_block ? blocks_for(out.rows, 1) : blocks_for(out.rows, kWarpRows);
  launch_overlapped(whole_block ? rms_norm_kernel_of<N, true> : rms_norm_kernel_of<N, false>, call.limits->architecture,
                    blocks, static_cast<unsigned>(threads), 0, call.stream, "rms_norm", x, weight, out, eps);
}

void launch(const Call& call) {
  if (call.out[0].rows == 0) return;
  const std::byte* weight = call.n_in > 1 ? call.in[1].data : nullptr;
  const bool aligned = reinterpret_cast<uintptr_t>(weight) % 16 == 0;
  if (aligned && whole_pieces(call.out[0].cols, {&call.in[0], &call.out[0]}))
    launch_pieces<kPiece>(call, weight);
  else
    launch_pieces<1>(call, weight);
}

}  // namespace

extern const Kernel rms_norm_kernel;
const Kernel rms_norm_kernel{"rms_norm", supports, nullptr, launch};

}  // namespace g4::cuda

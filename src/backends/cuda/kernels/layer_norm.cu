// layer_norm: see ops/layer_norm.h. A row is a warp's or, from kWarpColumns on, a block's. The mean first, then the
// squares of what is left: no cancellation. A row is read three times, from the caches but for the first.
#include "backends/cuda/kernels/rows.cuh"
#include "ops/layer_norm.h"

namespace g4::cuda {

namespace {

constexpr int64_t kWarpColumns = 512;
constexpr int kWarpRows = 4;  // rows of a block whose rows are warps'

template <bool kWholeBlock>
__device__ __forceinline__ float row_sum(float x, float* scratch) {
  return kWholeBlock ? block_sum(x, scratch) : warp_sum(x);
}

template <int N, bool kWholeBlock>
__global__ void __launch_bounds__(1024)
    layer_norm_kernel_of(const __grid_constant__ KernelTensor x, const std::byte* weight, const std::byte* bias,
                         const __grid_constant__ KernelTensor out, float eps) {
  take_turn();
  __shared__ float scratch[kWarp];
  const int64_t row = kWholeBlock ? blockIdx.x : static_cast<int64_t>(blockIdx.x) * kWarpRows + threadIdx.x / kWarp;
  if (row >= out.rows) return;  // a whole warp's, or nobody's
  const std::byte* from = x.row(row);
  std::byte* to = out.row(row);
  const int64_t step = (kWholeBlock ? blockDim.x : kWarp) * N;
  const int64_t first = (kWholeBlock ? threadIdx.x : threadIdx.x % kWarp) * N;
  const float count = static_cast<float>(out.cols);
  float values[N];
  float sum = 0.0f;
  for (int64_t c = first; c < out.cols; c += step) {
    load_piece(from, x.dtype, c, values);
#pragma unroll
    for (int i = 0; i < N; ++i) sum += values[i];
  }
  const float mean = row_sum<kWholeBlock>(sum, scratch) / count;
  float squares = 0.0f;
  for (int64_t c = first; c < out.cols; c += step) {
    load_piece(from, x.dtype, c, values);
#pragma unroll
    for (int i = 0; i < N; ++i) squares = fmaf(values[i] - mean, values[i] - mean, squares);
  }
  const float factor = 1.0f / sqrtf(row_sum<kWholeBlock>(squares, scratch) / count + eps);
  for (int64_t c = first; c < out.cols; c += step) {
    float w[N], b[N];
    load_piece(from, x.dtype, c, values);
    if (weight) load_piece(weight, DType::F32, c, w);
    if (bias) load_piece(bias, DType::F32, c, b);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      values[i] = __fmul_rn(values[i] - mean, factor);
      if (weight) values[i] = __fmul_rn(values[i], w[i]);
      if (bias) values[i] = __fadd_rn(values[i], b[i]);
    }
    store_piece(to, out.dtype, c, values);
  }
}

bool supports(const Call& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

template <int N>
void launch_pieces(const Call& call, const std::byte* weight, const std::byte* bias) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const float eps = static_cast<const LayerNormParams*>(call.params)->eps;
  const bool whole_block = out.cols >= kWarpColumns;
  const int64_t warps = (out.cols + N * kWarp - 1) / (N * kWarp);
  const int64_t threads = whole_block ? (warps < 32 ? warps : 32) * kWarp : kWarpRows * kWarp;
  const unsigned blocks = whole_block ? blocks_for(out.rows, 1) : blocks_for(out.rows, kWarpRows);
  launch_overlapped(whole_block ? layer_norm_kernel_of<N, true> : layer_norm_kernel_of<N, false>,
                    call.limits->architecture, blocks, static_cast<unsigned>(threads), 0, call.stream, "layer_norm", x,
                    weight, bias, out, eps);
}

void launch(const Call& call) {
  if (call.out[0].rows == 0) return;
  const std::byte* weight = call.n_in > 1 ? call.in[1].data : nullptr;
  const std::byte* bias = call.n_in > 2 ? call.in[2].data : nullptr;
  const bool aligned = (reinterpret_cast<uintptr_t>(weight) | reinterpret_cast<uintptr_t>(bias)) % 16 == 0;
  if (aligned && whole_pieces(call.out[0].cols, {&call.in[0], &call.out[0]}))
    launch_pieces<kPiece>(call, weight, bias);
  else
    launch_pieces<1>(call, weight, bias);
}

}  // namespace

extern const Kernel layer_norm_kernel;
const Kernel layer_norm_kernel{"layer_norm", supports, nullptr, launch};

}  // namespace g4::cuda

#include "backends/cuda/kernels/rows.cuh"
#include "backends/cuda/row_chain.h"

namespace g4::cuda {
namespace {

__device__ __forceinline__ const std::byte* row_of(const RowOperand& t, int64_t row) {
  return t.data + row * t.row_stride;
}

// kernels/rms_norm.cu's sums in its order.
__device__ __forceinline__ float squares(const float (&x)[kPiece]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) sum = fmaf(x[i], x[i], sum);
  return sum;
}
__device__ __forceinline__ void normalize(float (&x)[kPiece], float sum, int64_t cols, float eps,
                                          const float (&w)[kPiece]) {
  const float factor = 1.0f / sqrtf(sum / static_cast<float>(cols) + eps);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) x[i] = __fmul_rn(__fmul_rn(x[i], factor), w[i]);
}
__device__ __forceinline__ void load_weight(const RowOperand& weight, int64_t column, float (&w)[kPiece]) {
  if (weight.data) return load_piece(weight.data, DType::F32, column, w);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) w[i] = 1.0f;
}

template <int kSteps>
__global__ void __launch_bounds__(1024) row_chain(const __grid_constant__ RowChain c) {
  __shared__ float scratch[kWarp];
  release_successor();
  const int64_t column = static_cast<int64_t>(threadIdx.x) * kPiece, row = blockIdx.x;
  const bool mine = column < c.cols;
  float operand[kSteps][kPiece] = {};
#pragma unroll
  for (int s = 0; s < kSteps; ++s)
    if (c.step[s].op == RowStep::Op::Norm && mine) load_weight(c.step[s].other, column, operand[s]);
  wait_for_predecessor();
  float x[kPiece] = {};
  if (mine) {
    load_piece(row_of(c.x, row), c.x.dtype, column, x);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const RowStep& step = c.step[s];
      if (step.op != RowStep::Op::Add && step.op != RowStep::Op::Mul) continue;
      if (step.one_number) {
        const float number = load(step.other.data, step.other.dtype, 0);
#pragma unroll
        for (int i = 0; i < kPiece; ++i) operand[s][i] = number;
      } else {
        load_piece(row_of(step.other, row), step.other.dtype, column, operand[s]);
      }
    }
  }
  __syncthreads();  // a result may take an operand's place
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    const RowStep& step = c.step[s];
    if (step.op == RowStep::Op::Norm) {
      normalize(x, block_sum(squares(x), scratch), c.cols, step.value, operand[s]);
    } else {
#pragma unroll
      for (int i = 0; i < kPiece; ++i)
        x[i] = step.op == RowStep::Op::Add   ? __fadd_rn(x[i], operand[s][i])
               : step.op == RowStep::Op::Mul ? __fmul_rn(x[i], operand[s][i])
                                             : __fmul_rn(x[i], step.value);
    }
#pragma unroll
    for (int i = 0; i < kPiece; ++i) x[i] = rounded(step.out.dtype, x[i]);
    if (step.store && mine) store_piece(step.out.data + row * step.out.row_stride, step.out.dtype, column, x);
  }
}

// A thread holds a piece of a head; its partner half a head away comes through shared memory.
template <bool kWholeBlock>
__global__ void __launch_bounds__(kWarp* kWarp) norm_rope(const __grid_constant__ NormRope c, int rows_a_block) {
  __shared__ float scratch[kWarp];
  __shared__ float heads[NormRope::kMostColumns];
  release_successor();
  const int lane = static_cast<int>(kWholeBlock ? threadIdx.x : threadIdx.x % kWarp);
  const int slot = kWholeBlock ? 0 : static_cast<int>(threadIdx.x / kWarp);
  const int cols = static_cast<int>(c.cols), column = lane * kPiece, half = cols / 2;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * rows_a_block + slot;
  const bool mine = column < cols && row < c.rows;
  float x[kPiece] = {}, w[kPiece] = {}, cosine[kPiece], sine[kPiece];
  if (mine) load_weight(c.weight, column, w);
  wait_for_predecessor();
  const bool low = column < half;
  const int pair = low ? column : column - half;
  if (mine) {
    load_piece(row_of(c.x, row), c.x.dtype, column, x);
    const std::byte* turn = row_of(c.table, place_of(row, c.heads).row);
    load_piece(turn, c.table.dtype, pair, cosine);
    load_piece(turn, c.table.dtype, half + pair, sine);
  }
  const float sum = kWholeBlock ? block_sum(squares(x), scratch) : warp_sum(squares(x));
  normalize(x, sum, c.cols, c.eps, w);
  float* head = heads + slot * cols;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    x[i] = rounded(c.normed, x[i]);
    if (mine) head[column + i] = x[i];
  }
  __syncthreads();
  if (!mine) return;
  const float* partner = head + (low ? column + half : pair);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) {
    const float direct = rounded(c.inner, __fmul_rn(x[i], cosine[i]));
    const float crossed = rounded(c.inner, __fmul_rn(partner[i], sine[i]));
    x[i] = low ? __fsub_rn(direct, crossed) : __fadd_rn(direct, crossed);
  }
  store_piece(c.out.data + row * c.out.row_stride, c.out.dtype, column, x);
}

unsigned threads_of(int64_t cols) {
  return static_cast<unsigned>((cols + kPiece * kWarp - 1) / (kPiece * kWarp) * kWarp);
}

}  // namespace

void launch_row_chain(const RowChain& chain, const DeviceLimits& limits, cudaStream_t stream) {
  static constexpr void (*kKernels[])(RowChain) = {row_chain<1>, row_chain<2>, row_chain<3>, row_chain<4>,
                                                   row_chain<5>};
  static_assert(sizeof kKernels / sizeof kKernels[0] == RowChain::kMostSteps);
  launch_overlapped(kKernels[chain.count - 1], limits.architecture, static_cast<unsigned>(chain.rows),
                    threads_of(chain.cols), 0, stream, "a chain of row operations", chain);
}

void launch_norm_rope(const NormRope& call, const DeviceLimits& limits, cudaStream_t stream) {
  const bool whole_block = call.cols >= NormRope::kLeastColumns;
  const int rows_a_block = whole_block ? 1 : 4;
  launch_overlapped(whole_block ? norm_rope<true> : norm_rope<false>, limits.architecture,
                    blocks_for(call.rows, rows_a_block), whole_block ? threads_of(call.cols) : 4 * kWarp, 0, stream,
                    "rms_norm and rope", call, rows_a_block);
}

}  // namespace g4::cuda

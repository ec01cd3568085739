#include "backends/cuda/kernels/rows.cuh"
#include "backends/cuda/row_chain.h"

namespace g4::cuda {
namespace {

constexpr int64_t kManyRows = 1024;
constexpr int kHeadThreads = 256;

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

// What is known of a chain when it is compiled: nothing, or its operations and that all its rows have one type. Less
// code is fetched sooner: a chain takes a few microseconds.
struct AnyForm {
  static constexpr bool kKnown = false;
};
template <DType kDtype, RowStep::Op... kOps>
struct Form {
  static constexpr bool kKnown = true;
  static constexpr DType kType = kDtype;
  __device__ static constexpr RowStep::Op op(int s) {
    constexpr RowStep::Op all[] = {kOps...};
    return all[s];
  }
};

template <class F>
__device__ __forceinline__ RowStep::Op op_of(const RowChain& c, int s) {
  if constexpr (F::kKnown)
    return F::op(s);
  else
    return c.step[s].op;
}
template <class F>
__device__ __forceinline__ DType type_of(const RowOperand& t) {
  if constexpr (F::kKnown)
    return F::kType;
  else
    return t.dtype;
}

// Registers are scarce where a thread has several pieces: rows are not multiplied there.
template <int kPieces, class F>
__device__ constexpr bool only_number(RowStep::Op op) {
  return F::kKnown && kPieces > 1 && op == RowStep::Op::Mul;
}

// A thread has kPieces pieces of a row, 256 columns apart: one where there are few rows and the weights can be loaded
// early, more where many blocks are to run at once. Sums are added as if each piece had a thread of its own.
template <int kPieces, int kSteps, class F>
__global__ void __launch_bounds__(1024 / kPieces) row_chain(const __grid_constant__ RowChain c) {
  using Op = RowStep::Op;
  __shared__ float scratch[kWarp];
  release_successor();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t row = blockIdx.x, cols = c.cols;
  const auto column = [&](int piece) { return int64_t{((warp * kPieces + piece) * kWarp + lane) * kPiece}; };
  float operand[kSteps][kPieces][kPiece] = {};
  const auto load_weights = [&](int s) {
#pragma unroll
    for (int p = 0; p < kPieces; ++p)
      if (column(p) < cols) load_weight(c.step[s].other, column(p), operand[s][p]);
  };
  if constexpr (kPieces == 1) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s)
      if (op_of<F>(c, s) == Op::Norm) load_weights(s);
  }
  wait_for_predecessor();
  float x[kPieces][kPiece] = {};
#pragma unroll
  for (int p = 0; p < kPieces; ++p)
    if (column(p) < cols) load_piece(row_of(c.x, row), type_of<F>(c.x), column(p), x[p]);
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    const RowStep& step = c.step[s];
    if (op_of<F>(c, s) != Op::Add && op_of<F>(c, s) != Op::Mul) continue;
    const bool one_number = only_number<kPieces, F>(op_of<F>(c, s)) || step.one_number;
    const float number = one_number ? load(step.other.data, step.other.dtype, 0) : 0;
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
#pragma unroll
      for (int i = 0; i < kPiece; ++i) operand[s][p][i] = number;
      if (!one_number && column(p) < cols)
        load_piece(row_of(step.other, row), type_of<F>(step.other), column(p), operand[s][p]);
    }
  }
  __syncthreads();  // a result may take an operand's place

  const auto row_sum = [&] {
    if (kPieces == 1) return block_sum(squares(x[0]), scratch);
    __syncthreads();
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const float sum = warp_sum(squares(x[p]));
      if (lane == 0) scratch[warp * kPieces + p] = sum;
    }
    __syncthreads();
    return warp_sum(lane < static_cast<int>(blockDim.x) / kWarp * kPieces ? scratch[lane] : 0.0f);
  };
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    const RowStep& step = c.step[s];
    const Op op = op_of<F>(c, s);
    const DType type = type_of<F>(step.out);
    float sum = 0;
    if (op == Op::Norm) {
      if constexpr (kPieces > 1) load_weights(s);
      sum = row_sum();
    }
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      if (op == Op::Norm) {
        normalize(x[p], sum, cols, step.value, operand[s][p]);
      } else {
#pragma unroll
        for (int i = 0; i < kPiece; ++i)
          x[p][i] = op == Op::Add   ? __fadd_rn(x[p][i], operand[s][p][i])
                    : op == Op::Mul ? __fmul_rn(x[p][i], operand[s][p][i])
                                    : __fmul_rn(x[p][i], step.value);
      }
#pragma unroll
      for (int i = 0; i < kPiece; ++i) x[p][i] = rounded(type, x[p][i]);
      if (step.store && column(p) < cols)
        store_piece(step.out.data + row * step.out.row_stride, type, column(p), x[p]);
    }
  }
}

// The kernel of a chain of these operations over rows of one type; nullptr for another chain.
using ChainKernel = void (*)(RowChain);
template <int kPieces, DType kType, RowStep::Op... kOps>
ChainKernel kernel_of(const RowChain& c) {
  constexpr RowStep::Op kOp[] = {kOps...};
  bool same = c.count == sizeof...(kOps) && c.x.dtype == kType;
  for (int s = 0; same && s < c.count; ++s) {
    const RowStep& step = c.step[s];
    const bool free = kOp[s] == RowStep::Op::Norm || kOp[s] == RowStep::Op::Scale || step.one_number;
    same = step.op == kOp[s] && step.out.dtype == kType && (free || step.other.dtype == kType) &&
           (kPieces == 1 || kOp[s] != RowStep::Op::Mul || step.one_number);
  }
  return same ? row_chain<kPieces, sizeof...(kOps), Form<kType, kOps...>> : nullptr;
}
// Those of a layer's residual stream.
template <int kPieces, DType kType>
ChainKernel known_kernel(const RowChain& c) {
  constexpr auto kNorm = RowStep::Op::Norm, kAdd = RowStep::Op::Add, kMul = RowStep::Op::Mul;
  if constexpr (kPieces > 1)
    if (const ChainKernel k = kernel_of<kPieces, kType, kNorm>(c)) return k;
  if (const ChainKernel k = kernel_of<kPieces, kType, kNorm, kAdd>(c)) return k;
  if (const ChainKernel k = kernel_of<kPieces, kType, kNorm, kAdd, kNorm>(c)) return k;
  if (const ChainKernel k = kernel_of<kPieces, kType, kNorm, kAdd, kMul>(c)) return k;
  return kernel_of<kPieces, kType, kNorm, kAdd, kMul, kNorm>(c);
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

// Heads of 256 * kPieces elements, kHeads of one token a warp; a lane's pieces lie 256 elements apart.
template <int kPieces, int kHeads, bool kBf16>
__global__ void __launch_bounds__(kHeadThreads) norm_rope_heads(const __grid_constant__ NormRope c) {
  release_successor();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * kHeadThreads + threadIdx.x) / kWarp, first = warp * kHeads;
  const int half = kPieces * 128, pair = (kPieces == 1 ? lane % 16 : lane) * kPiece;
  const auto type = [](DType dtype) { return kBf16 ? DType::BF16 : dtype; };
  float w[kPieces][kPiece], x[kHeads][kPieces][kPiece], cosine[kPiece], sine[kPiece];
  if (first >= c.rows) return;
#pragma unroll
  for (int p = 0; p < kPieces; ++p) load_weight(c.weight, p * 256 + lane * kPiece, w[p]);
  wait_for_predecessor();
#pragma unroll
  for (int h = 0; h < kHeads; ++h)
#pragma unroll
    for (int p = 0; p < kPieces; ++p)
      load_piece(row_of(c.x, first + h), type(c.x.dtype), p * 256 + lane * kPiece, x[h][p]);
  const std::byte* turn = row_of(c.table, place_of(first, c.heads).row);
  load_piece(turn, c.table.dtype, pair, cosine);
  load_piece(turn, c.table.dtype, half + pair, sine);
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    float sum = warp_sum(squares(x[h][0]));
    if constexpr (kPieces == 2) sum += warp_sum(squares(x[h][1]));
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      normalize(x[h][p], sum, c.cols, c.eps, w[p]);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) x[h][p][i] = rounded(type(c.normed), x[h][p][i]);
    }
    float turned[kPieces][kPiece];
#pragma unroll
    for (int p = 0; p < kPieces; ++p) {
      const bool low = kPieces == 1 ? lane < 16 : p == 0;
#pragma unroll
      for (int i = 0; i < kPiece; ++i) {
        const float partner =
            kPieces == 1 ? __shfl_xor_sync(kAllLanes, x[h][0][i], 16) : x[h][kPieces - 1 - p][i];
        const float direct = rounded(type(c.inner), __fmul_rn(x[h][p][i], cosine[i]));
        const float crossed = rounded(type(c.inner), __fmul_rn(partner, sine[i]));
        turned[p][i] = low ? __fsub_rn(direct, crossed) : __fadd_rn(direct, crossed);
      }
    }
#pragma unroll
    for (int p = 0; p < kPieces; ++p)
      store_piece(c.out.data + (first + h) * c.out.row_stride, type(c.out.dtype), p * 256 + lane * kPiece, turned[p]);
  }
}

template <int kPieces, int kHeads>
void launch_heads(const NormRope& call, const DeviceLimits& limits, cudaStream_t stream) {
  const auto is_bf16 = [](DType dtype) { return dtype == DType::BF16; };
  const bool all = is_bf16(call.x.dtype) && is_bf16(call.out.dtype) && is_bf16(call.normed) && is_bf16(call.inner);
  launch_overlapped(all ? norm_rope_heads<kPieces, kHeads, true> : norm_rope_heads<kPieces, kHeads, false>,
                    limits.architecture, blocks_for(call.rows, kHeadThreads / kWarp * kHeads), kHeadThreads, 0, stream,
                    "rms_norm and rope", call);
}

unsigned threads_of(int64_t cols, int pieces) {
  return static_cast<unsigned>((cols + pieces * kPiece * kWarp - 1) / (pieces * kPiece * kWarp) * kWarp);
}

template <int kPieces>
bool launch_pieces(const RowChain& chain, const DeviceLimits& limits, cudaStream_t stream) {
  ChainKernel kernel = known_kernel<kPieces, DType::BF16>(chain);
  if (!kernel) kernel = known_kernel<kPieces, DType::F32>(chain);
  if (!kernel) return false;
  launch_overlapped(kernel, limits.architecture, static_cast<unsigned>(chain.rows), threads_of(chain.cols, kPieces), 0,
                    stream, "a chain of row operations", chain);
  return true;
}

}  // namespace

void launch_row_chain(const RowChain& chain, const DeviceLimits& limits, cudaStream_t stream) {
  static constexpr ChainKernel kAny[] = {row_chain<1, 1, AnyForm>, row_chain<1, 2, AnyForm>, row_chain<1, 3, AnyForm>,
                                         row_chain<1, 4, AnyForm>, row_chain<1, 5, AnyForm>};
  static_assert(sizeof kAny / sizeof kAny[0] == RowChain::kMostSteps);
  const int64_t warps = threads_of(chain.cols, 1) / kWarp;
  if (chain.rows >= kManyRows && warps > 12 && launch_pieces<3>(chain, limits, stream)) return;
  if (chain.rows >= kManyRows && warps > 1 && launch_pieces<2>(chain, limits, stream)) return;
  if (launch_pieces<1>(chain, limits, stream)) return;
  launch_overlapped(kAny[chain.count - 1], limits.architecture, static_cast<unsigned>(chain.rows),
                    threads_of(chain.cols, 1), 0, stream, "a chain of row operations", chain);
}

void launch_norm_rope(const NormRope& call, const DeviceLimits& limits, cudaStream_t stream) {
  const bool many = call.rows >= kManyRows;
  if (many && call.cols == 256) {
    if (call.heads % 4 == 0) return launch_heads<1, 4>(call, limits, stream);
    return call.heads % 2 == 0 ? launch_heads<1, 2>(call, limits, stream) : launch_heads<1, 1>(call, limits, stream);
  }
  if (many && call.cols == 512)
    return call.heads % 2 == 0 ? launch_heads<2, 2>(call, limits, stream) : launch_heads<2, 1>(call, limits, stream);
  const bool whole_block = call.cols >= NormRope::kLeastColumns;
  const int rows_a_block = whole_block ? 1 : 4;
  launch_overlapped(whole_block ? norm_rope<true> : norm_rope<false>, limits.architecture,
                    blocks_for(call.rows, rows_a_block), whole_block ? threads_of(call.cols, 1) : 4 * kWarp, 0, stream,
                    "rms_norm and rope", call, rows_a_block);
}

}  // namespace g4::cuda

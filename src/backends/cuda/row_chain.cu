#include "backends/cuda/kernels/rows.cuh"
#include "backends/cuda/row_chain.h"

namespace g4::cuda {
namespace {

constexpr int64_t kManyHeads = 1024;
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

__device__ __forceinline__ float held(float x, const RowStep& step) {  // NaN stays
  return x < step.value ? step.value : x > step.high ? step.high : x;
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

template <int kSteps, class F>
__global__ void __launch_bounds__(1024) row_chain(const __grid_constant__ RowChain c) {
  using Op = RowStep::Op;
  __shared__ float scratch[kWarp];
  release_successor();
  const int64_t column = static_cast<int64_t>(threadIdx.x) * kPiece, row = blockIdx.x;
  const bool mine = column < c.cols;
  float operand[kSteps][kPiece] = {};
#pragma unroll
  for (int s = 0; s < kSteps; ++s)
    if (op_of<F>(c, s) == Op::Norm && mine) load_weight(c.step[s].other, column, operand[s]);
  wait_for_predecessor();
  float x[kPiece] = {};
  if (mine) {
    load_piece(row_of(c.x, row), type_of<F>(c.x), column, x);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const RowStep& step = c.step[s];
      if (op_of<F>(c, s) != Op::Add && op_of<F>(c, s) != Op::Mul) continue;
      if (step.one_number) {
        const float number = load(step.other.data, step.other.dtype, 0);
#pragma unroll
        for (int i = 0; i < kPiece; ++i) operand[s][i] = number;
      } else {
        load_piece(row_of(step.other, row), type_of<F>(step.other), column, operand[s]);
      }
    }
  }
  __syncthreads();  // a result may take an operand's place
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    const RowStep& step = c.step[s];
    const Op op = op_of<F>(c, s);
    const DType type = type_of<F>(step.out);
    if (op == Op::Norm) {
      normalize(x, block_sum(squares(x), scratch), c.cols, step.value, operand[s]);
    } else {
#pragma unroll
      for (int i = 0; i < kPiece; ++i)
        x[i] = op == Op::Add     ? __fadd_rn(x[i], operand[s][i])
               : op == Op::Mul   ? __fmul_rn(x[i], operand[s][i])
               : op == Op::Scale ? __fmul_rn(x[i], step.value)
                                 : held(x[i], step);
    }
#pragma unroll
    for (int i = 0; i < kPiece; ++i) x[i] = rounded(type, x[i]);
    if (step.store && mine) store_piece(step.out.data + row * step.out.row_stride, type, column, x);
  }
}

// The kernel of a chain of these operations over rows of one type; nullptr for another chain.
using ChainKernel = void (*)(RowChain);
template <DType kType, RowStep::Op... kOps>
ChainKernel kernel_of(const RowChain& c) {
  constexpr RowStep::Op kOp[] = {kOps...};
  bool same = c.count == sizeof...(kOps) && c.x.dtype == kType;
  for (int s = 0; same && s < c.count; ++s) {
    const RowStep& step = c.step[s];
    const bool free = (kOp[s] != RowStep::Op::Add && kOp[s] != RowStep::Op::Mul) || step.one_number;
    same = step.op == kOp[s] && step.out.dtype == kType && (free || step.other.dtype == kType);
  }
  return same ? row_chain<sizeof...(kOps), Form<kType, kOps...>> : nullptr;
}
// Those of a layer's residual stream.
template <DType kType>
ChainKernel known_kernel(const RowChain& c) {
  constexpr auto kNorm = RowStep::Op::Norm, kAdd = RowStep::Op::Add, kMul = RowStep::Op::Mul;
  constexpr auto kClamp = RowStep::Op::Clamp;
  if (const ChainKernel k = kernel_of<kType, kNorm, kClamp>(c)) return k;
  if (const ChainKernel k = kernel_of<kType, kNorm, kAdd, kNorm, kClamp>(c)) return k;
  if (const ChainKernel k = kernel_of<kType, kNorm, kAdd>(c)) return k;
  if (const ChainKernel k = kernel_of<kType, kNorm, kAdd, kNorm>(c)) return k;
  if (const ChainKernel k = kernel_of<kType, kNorm, kAdd, kMul>(c)) return k;
  return kernel_of<kType, kNorm, kAdd, kMul, kNorm>(c);
}

// A thread holds a piece of a head; its partner half a part away comes through shared memory.
template <bool kWholeBlock>
__global__ void __launch_bounds__(kWarp* kWarp) norm_rope(const __grid_constant__ NormRope c, int rows_a_block) {
  __shared__ float scratch[kWarp];
  __shared__ float heads[NormRope::kMostColumns];
  release_successor();
  const int lane = static_cast<int>(kWholeBlock ? threadIdx.x : threadIdx.x % kWarp);
  const int slot = kWholeBlock ? 0 : static_cast<int>(threadIdx.x / kWarp);
  const int cols = static_cast<int>(c.cols), column = lane * kPiece, width = cols / c.parts, half = width / 2;
  const int part = column / width, in_part = column - part * width;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * rows_a_block + slot;
  const bool mine = column < cols && row < c.rows;
  float x[kPiece] = {}, w[kPiece] = {}, cosine[kPiece], sine[kPiece];
  if (mine) load_weight(c.weight, column, w);
  wait_for_predecessor();
  const bool low = in_part < half;
  const int pair = low ? in_part : in_part - half;
  if (mine) {
    load_piece(row_of(c.x, row), c.x.dtype, column, x);
    const std::byte* turn = row_of(c.table, place_of(row, c.heads).row * c.parts + part);
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
  const float* partner = head + (low ? column + half : column - half);
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

unsigned threads_of(int64_t cols) {
  return static_cast<unsigned>((cols + kPiece * kWarp - 1) / (kPiece * kWarp) * kWarp);
}

}  // namespace

void launch_row_chain(const RowChain& chain, const DeviceLimits& limits, cudaStream_t stream) {
  static constexpr ChainKernel kAny[] = {row_chain<1, AnyForm>, row_chain<2, AnyForm>, row_chain<3, AnyForm>,
                                         row_chain<4, AnyForm>, row_chain<5, AnyForm>};
  static_assert(sizeof kAny / sizeof kAny[0] == RowChain::kMostSteps);
  ChainKernel kernel = known_kernel<DType::BF16>(chain);
  if (!kernel) kernel = known_kernel<DType::F32>(chain);
  if (!kernel) kernel = kAny[chain.count - 1];
  launch_overlapped(kernel, limits.architecture, static_cast<unsigned>(chain.rows), threads_of(chain.cols), 0, stream,
                    "a chain of row operations", chain);
}

void launch_norm_rope(const NormRope& call, const DeviceLimits& limits, cudaStream_t stream) {
  const bool many = call.rows >= kManyHeads;
  if (many && call.cols == 256 && call.parts == 1) {
    if (call.heads % 4 == 0) return launch_heads<1, 4>(call, limits, stream);
    return call.heads % 2 == 0 ? launch_heads<1, 2>(call, limits, stream) : launch_heads<1, 1>(call, limits, stream);
  }
  if (many && call.cols == 512 && call.parts == 1)
    return call.heads % 2 == 0 ? launch_heads<2, 2>(call, limits, stream) : launch_heads<2, 1>(call, limits, stream);
  const bool whole_block = call.cols >= NormRope::kLeastColumns;
  const int rows_a_block = whole_block ? 1 : 4;
  launch_overlapped(whole_block ? norm_rope<true> : norm_rope<false>, limits.architecture,
                    blocks_for(call.rows, rows_a_block), whole_block ? threads_of(call.cols) : 4 * kWarp, 0, stream,
                    "rms_norm and rope", call, rows_a_block);
}

}  // namespace g4::cuda

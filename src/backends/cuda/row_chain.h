// Several operations over the same rows as one kernel: a block takes a row, loads all it needs, and applies one
// operation after the other to what it holds in registers, rounding where each of them would. A result is stored only
// if something else reads it. The bits are those of the operations by themselves.
#pragma once

#include "backends/cuda/kernel.h"

namespace g4::cuda {

struct RowOperand {
  std::byte* data = nullptr;
  int64_t row_stride = 0;  // bytes
  DType dtype = DType::F32;
};

struct RowStep {
  enum class Op : uint8_t { Norm, Add, Mul, Scale, Clamp };
  Op op = Op::Norm;
  bool one_number = false;  // `other` is
  bool store = true;
  float value = 0;   // eps, factor or the lower bound
  float high = 0;    // the upper
  RowOperand other;  // the second operand, or the norm's weight; no data: none
  RowOperand out;
};

struct RowChain {
  static constexpr int kMostSteps = 5;
  // A piece a thread; between the first two rms_norm gives a lane two pieces, which sums in another order.
  static constexpr int64_t kMostWarpColumns = 256, kLeastColumns = 512, kMostColumns = 8192;

  int64_t rows = 0, cols = 0;
  RowOperand x;
  int count = 0;
  RowStep step[kMostSteps];
};
void launch_row_chain(const RowChain& chain, const DeviceLimits& limits, cudaStream_t stream);

// rms_norm of heads and rope of the result: a warp or, from kLeastColumns on, a block takes a head.
struct NormRope {
  static constexpr int64_t kMostWarpColumns = 256, kLeastColumns = 512, kMostColumns = 1024;

  int64_t rows = 0, cols = 0, heads = 0;  // rows: of all tokens' heads
  int parts = 1;                          // of a head, each turned by a row of the table of its own
  RowOperand x, weight, table, out;
  float eps = 0;
  DType normed = DType::F32, inner = DType::F32;
};
void launch_norm_rope(const NormRope& call, const DeviceLimits& limits, cudaStream_t stream);

}  // namespace g4::cuda

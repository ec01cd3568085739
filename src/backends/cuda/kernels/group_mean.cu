// group_mean: see ops/group_mean.h. A thread adds a piece of a group's rows, in order.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

template <int N>
__global__ void __launch_bounds__(kThreads)
    group_mean_kernel_of(const __grid_constant__ KernelTensor x, const __grid_constant__ KernelTensor out,
                         int64_t parts) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * parts) return;
  const Place at = place_of(index, parts);
  const int64_t rows = x.dim[1];
  float sum[N];
  load_piece(x.row(at.row * rows), x.dtype, at.part * N, sum);
  for (int64_t j = 1; j < rows; ++j) {
    float more[N];
    load_piece(x.row(at.row * rows + j), x.dtype, at.part * N, more);
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] += more[i];
  }
#pragma unroll
  for (int i = 0; i < N; ++i) sum[i] /= static_cast<float>(rows);
  store_piece(out.row(at.row), out.dtype, at.part * N, sum);
}

void launch(const Call& call) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const bool wide = whole_pieces(out.cols, {&x, &out});
  const int64_t parts = wide ? out.cols / kPiece : out.cols;
  launch_items(call, wide ? group_mean_kernel_of<kPiece> : group_mean_kernel_of<1>, out.rows * parts, "group_mean", x,
               out, parts);
}

}  // namespace

extern const Kernel group_mean_kernel;
const Kernel group_mean_kernel{"group_mean", unary_supports, nullptr, launch};

}  // namespace g4::cuda

// glu: see ops/glu.h. A thread takes a piece of a row's first half and its gates in the second.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

template <int N>
__global__ void __launch_bounds__(kThreads)
    glu_kernel_of(const __grid_constant__ KernelTensor x, const __grid_constant__ KernelTensor out, int64_t parts) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * parts) return;
  const Place at = place_of(index, parts);
  const std::byte* from = x.row(at.row);
  float a[N], gate[N];
  load_piece(from, x.dtype, at.part * N, a);
  load_piece(from, x.dtype, out.cols + at.part * N, gate);
#pragma unroll
  for (int i = 0; i < N; ++i) a[i] /= 1.0f + expf(-gate[i]);
  store_piece(out.row(at.row), out.dtype, at.part * N, a);
}

void launch(const Call& call) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const bool wide = whole_pieces(out.cols, {&x, &out});
  const int64_t parts = wide ? out.cols / kPiece : out.cols;
  launch_items(call, wide ? glu_kernel_of<kPiece> : glu_kernel_of<1>, out.rows * parts, "glu", x, out, parts);
}

}  // namespace

extern const Kernel glu_kernel;
const Kernel glu_kernel{"glu", unary_supports, nullptr, launch};

}  // namespace g4::cuda

// expert_combine: see ops/expert_combine.h.
#include "backends/cuda/kernels/rows.cuh"

namespace g4::cuda {

namespace {

template <int N>
__global__ void __launch_bounds__(kThreads)
    combine_kernel(const __grid_constant__ KernelTensor y, const __grid_constant__ KernelTensor weights,
                   const __grid_constant__ KernelTensor out, int64_t parts) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * parts) return;
  const Place at = place_of(index, parts);
  const int64_t k = y.dim[1];
  const auto* weight = reinterpret_cast<const float*>(weights.row(at.row));
  float sum[N] = {};
  for (int64_t j = 0; j < k; ++j) {
    float x[N];
    load_piece(y.row(at.row * k + j), y.dtype, at.part * N, x);
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] = fmaf(weight[j], x[i], sum[i]);
  }
  store_piece(out.row(at.row), out.dtype, at.part * N, sum);
}

bool supports(const Call& call) {
  return is_activation(call.in[0].dtype) && call.in[1].dtype == DType::F32 && is_activation(call.out[0].dtype);
}

void launch(const Call& call) {
  const KernelTensor &y = call.in[0], &weights = call.in[1], &out = call.out[0];
  const bool wide = whole_pieces(out.cols, {&y, &out});
  const int64_t parts = wide ? out.cols / kPiece : out.cols;
  launch_items(call, wide ? combine_kernel<kPiece> : combine_kernel<1>, out.rows * parts, "expert_combine", y, weights,
               out, parts);
}

}  // namespace

extern const Kernel expert_combine_kernel;
const Kernel expert_combine_kernel{"expert_combine", supports, nullptr, launch};

}  // namespace g4::cuda

// causal_conv1d: see ops/causal_conv1d.h. A thread sums the taps of one channel of one row, first to last.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

__global__ void __launch_bounds__(kThreads)
    causal_conv1d_kernel_of(const __grid_constant__ KernelTensor x, const __grid_constant__ KernelTensor w,
                            const __grid_constant__ KernelTensor out) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * out.cols) return;
  const Place at = place_of(index, out.cols);
  const float* const taps = reinterpret_cast<const float*>(w.row(at.part));
  const int64_t before = at.row - w.cols + 1;
  float sum = 0.0f;
  for (int64_t j = before < 0 ? -before : 0; j < w.cols; ++j)
    sum = fmaf(taps[j], load(x.row(before + j), x.dtype, at.part), sum);
  store(out.row(at.row), out.dtype, at.part, sum);
}

void launch(const Call& call) {
  const KernelTensor& out = call.out[0];
  launch_items(call, causal_conv1d_kernel_of, out.rows * out.cols, "causal_conv1d", call.in[0], call.in[1], out);
}

}  // namespace

extern const Kernel causal_conv1d_kernel;
const Kernel causal_conv1d_kernel{"causal_conv1d", unary_supports, nullptr, launch};

}  // namespace g4::cuda

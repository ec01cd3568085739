// rope_table: see ops/rope_table.h. Angles reach 131072 radians: cosf and sinf reduce them exactly, the fast
// intrinsics do not.
#include "backends/cuda/kernels/rows.cuh"

namespace g4::cuda {

namespace {

__global__ void __launch_bounds__(kThreads)
    rope_table_kernel_of(const int32_t* positions, const float* inv_freq, const __grid_constant__ KernelTensor out) {
  take_turn();
  const int64_t half = out.cols / 2, index = thread_index();
  if (index >= out.rows * half) return;
  const Place at = place_of(index, half);
  const float angle = __fmul_rn(static_cast<float>(positions[at.row]), inv_freq[at.part]);
  std::byte* row = out.row(at.row);
  store(row, out.dtype, at.part, cosf(angle));
  store(row, out.dtype, half + at.part, sinf(angle));
}

bool supports(const Call& call) { return is_activation(call.out[0].dtype) && call.in[1].dtype == DType::F32; }

void launch(const Call& call) {
  const KernelTensor& out = call.out[0];
  launch_items(call, rope_table_kernel_of, out.rows * (out.cols / 2), "rope_table",
               reinterpret_cast<const int32_t*>(call.in[0].data), reinterpret_cast<const float*>(call.in[1].data), out);
}

}  // namespace

extern const Kernel rope_table_kernel;
const Kernel rope_table_kernel{"rope_table", supports, nullptr, launch};

}  // namespace g4::cuda

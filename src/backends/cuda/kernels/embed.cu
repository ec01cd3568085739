// embed: see ops/embed.h. One thread an element; a decoded row is at most some ten thousand of them.
#include "backends/cuda/kernels/rows.cuh"
#include "backends/cuda/panel_fields.cuh"
#include "ops/embed.h"

namespace g4::cuda {

namespace {

__global__ void __launch_bounds__(kThreads)
    embed_kernel_of(const __grid_constant__ KernelTensor table, const int32_t* ids,
                    const __grid_constant__ KernelTensor out, float factor) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * out.cols) return;
  const Place at = place_of(index, out.cols);
  const int64_t id = ids[at.row];
  const float value = table.panels ? panel_value(table.dtype, table.data, out.cols, id, at.part)
                                   : weight_value(table.dtype, table.data + id * table.stride[0], at.part);
  store(out.row(at.row), out.dtype, at.part, __fmul_rn(value, factor));
}

bool supports(const Call& call) { return call.in[0].dtype != DType::I32 && is_activation(call.out[0].dtype); }

void launch(const Call& call) {
  const KernelTensor& out = call.out[0];
  launch_items(call, embed_kernel_of, out.rows * out.cols, "embed", call.in[0],
               reinterpret_cast<const int32_t*>(call.in[1].data), out,
               static_cast<const EmbedParams*>(call.params)->scale);
}

}  // namespace

extern const Kernel embed_kernel;
const Kernel embed_kernel{"embed", supports, nullptr, launch};

}  // namespace g4::cuda

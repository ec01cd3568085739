// gather_rows: see ops/gather_rows.h. Bytes are copied as they are, 16 at a time where rows begin at multiples of 16.
#include "backends/cuda/kernels/rows.cuh"

namespace g4::cuda {

namespace {

template <class Unit>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const __grid_constant__ KernelTensor x, const int32_t* indices,
                  const __grid_constant__ KernelTensor out, int64_t units) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * units) return;
  const Place at = place_of(index, units);
  reinterpret_cast<Unit*>(out.row(at.row))[at.part] = reinterpret_cast<const Unit*>(x.row(indices[at.row]))[at.part];
}

template <class Unit>
void launch_units(const Call& call) {
  const KernelTensor& out = call.out[0];
  const int64_t units = out.cols * element_bytes(out.dtype) / static_cast<int64_t>(sizeof(Unit));
  launch_items(call, gather_kernel<Unit>, out.rows * units, "gather_rows", call.in[0],
               reinterpret_cast<const int32_t*>(call.in[1].data), out, units);
}

bool supports(const Call& call) {
  const DType dtype = call.in[0].dtype;
  return dtype == call.out[0].dtype && (is_activation(dtype) || dtype == DType::I32);
}

void launch(const Call& call) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const int64_t element = element_bytes(out.dtype);
  if (out.cols * element % 16 == 0 && rows_aligned(x) && rows_aligned(out))
    launch_units<uint4>(call);
  else if (element == 4)
    launch_units<uint32_t>(call);
  else
    launch_units<uint16_t>(call);
}

}  // namespace

extern const Kernel gather_rows_kernel;
const Kernel gather_rows_kernel{"gather_rows", supports, nullptr, launch};

}  // namespace g4::cuda

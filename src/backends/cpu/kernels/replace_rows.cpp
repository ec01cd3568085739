// replace_rows: see ops/replace_rows.h.
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[1].dtype) && call.out[0].dtype == call.in[0].dtype;
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 1); }

static void launch(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &rows = call.in[1], &out = call.out[0];
  const auto* index = reinterpret_cast<const int32_t*>(call.in[2].data);
  const auto bytes = static_cast<size_t>(out.cols * element_bytes(out.dtype));
  for_rows(call, out.rows, out.cols, 1, [&](int64_t r, float* buffer) {
    if (index[r] < 0)
      __builtin_memcpy(out.row(r), x.row(r), bytes);
    else
      store_floats(floats_of(rows, index[r], buffer), out.row(r), out.dtype, out.cols);
  });
}

extern const CpuKernel replace_rows_kernel;
const CpuKernel replace_rows_kernel{"replace_rows", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

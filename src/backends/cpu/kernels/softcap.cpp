// softcap: see ops/softcap.h.
#include "ops/softcap.h"

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 1); }

static void launch(const CpuCall& call) {
  const CpuTensor &x = call.in[0], &out = call.out[0];
  const Vec cap = splat(static_cast<const SoftcapParams*>(call.params)->cap);
  for_rows(call, out.rows, out.cols, 1, [&](int64_t r, float* buffer) {
    load_floats(x.row(r), x.dtype, buffer, out.cols);
    map(buffer, out.cols, [&](Vec v) { return cap * tanh(v / cap); });
    store_floats(buffer, out.row(r), out.dtype, out.cols);
  });
}

extern const CpuKernel softcap_kernel;
const CpuKernel softcap_kernel{"softcap", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

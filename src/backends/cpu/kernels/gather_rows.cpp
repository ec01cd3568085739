// gather_rows: see ops/gather_rows.h.
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) { return call.in[0].dtype == call.out[0].dtype; }

static void launch(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const auto* indices = reinterpret_cast<const int32_t*>(call.in[1].data);
  const auto bytes = static_cast<size_t>(out.cols * element_bytes(out.dtype));
  for_rows(call, out.rows, out.cols, 0,
           [&](int64_t r, float*) { __builtin_memcpy(out.row(r), x.row(indices[r]), bytes); });
}

extern const CpuKernel gather_rows_kernel;
const CpuKernel gather_rows_kernel{"gather_rows", supports, nullptr, launch};

}  // namespace g4::G4_ISA_NAMESPACE

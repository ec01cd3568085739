// softcap: see ops/softcap.h.
#include "ops/softcap.h"

#include "backends/cpu/kernels/unary.h"

namespace g4::G4_ISA_NAMESPACE {

static void launch(const CpuCall& call) {
  const Vec cap = splat(static_cast<const SoftcapParams*>(call.params)->cap);
  unary_launch(call, [&](Vec v) { return cap * tanh(v / cap); });
}

extern const CpuKernel softcap_kernel;
const CpuKernel softcap_kernel{"softcap", unary_supports, unary_workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

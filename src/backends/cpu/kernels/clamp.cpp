// clamp: see ops/clamp.h.
#include "ops/clamp.h"

#include "backends/cpu/kernels/unary.h"

namespace g4::G4_ISA_NAMESPACE {

static void launch(const CpuCall& call) {
  const auto* params = static_cast<const ClampParams*>(call.params);
  const Vec low = splat(params->low), high = splat(params->high);
  unary_launch(call, [&](Vec v) { return hold(v, low, high); });
}

extern const CpuKernel clamp_kernel;
const CpuKernel clamp_kernel{"clamp", unary_supports, unary_workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

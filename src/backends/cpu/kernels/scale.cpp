// scale: see ops/scale.h.
#include "ops/scale.h"

#include "backends/cpu/kernels/unary.h"

namespace g4::G4_ISA_NAMESPACE {

static void launch(const CpuCall& call) {
  const Vec factor = splat(static_cast<const ScaleParams*>(call.params)->factor);
  unary_launch(call, [&](Vec v) { return v * factor; });
}

extern const CpuKernel scale_kernel;
const CpuKernel scale_kernel{"scale", unary_supports, unary_workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

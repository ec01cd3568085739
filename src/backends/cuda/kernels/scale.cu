// scale: see ops/scale.h.
#include "backends/cuda/kernels/elementwise.cuh"
#include "ops/scale.h"

namespace g4::cuda {

namespace {

struct Scale {
  float factor;
  __device__ float operator()(float x) const { return __fmul_rn(x, factor); }
};

void launch(const Call& call) {
  unary_launch(call, Scale{static_cast<const ScaleParams*>(call.params)->factor}, "scale");
}

}  // namespace

extern const Kernel scale_kernel;
const Kernel scale_kernel{"scale", unary_supports, nullptr, launch};

}  // namespace g4::cuda

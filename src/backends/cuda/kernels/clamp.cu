// clamp: see ops/clamp.h.
#include "backends/cuda/kernels/elementwise.cuh"
#include "ops/clamp.h"

namespace g4::cuda {

namespace {

struct Hold {
  float low, high;
  // Comparisons with NaN are false.
  __device__ float operator()(float x) const { return x < low ? low : x > high ? high : x; }
};

void launch(const Call& call) {
  const auto* params = static_cast<const ClampParams*>(call.params);
  unary_launch(call, Hold{params->low, params->high}, "clamp");
}

}  // namespace

extern const Kernel clamp_kernel;
const Kernel clamp_kernel{"clamp", unary_supports, nullptr, launch};

}  // namespace g4::cuda

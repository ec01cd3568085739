// silu: see ops/silu.h.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

struct Silu {
  __device__ float operator()(float x) const { return x / (1.0f + expf(-x)); }
};

void launch(const Call& call) { unary_launch(call, Silu{}, "silu"); }

}  // namespace

extern const Kernel silu_kernel;
const Kernel silu_kernel{"silu", unary_supports, nullptr, launch};

}  // namespace g4::cuda

// geglu: see ops/geglu.h.
#include "backends/cuda/kernels/elementwise.cuh"
#include "ops/geglu.h"

namespace g4::cuda {

namespace {

struct Geglu {
  DType inner;
  float factor;
  __device__ float operator()(float gate, float up) const {
    return __fmul_rn(__fmul_rn(rounded(inner, tanh_gelu(gate)), up), factor);
  }
};

void launch(const Call& call) {
  const auto& p = *static_cast<const GegluParams*>(call.params);
  binary_launch(call, Geglu{p.inner, p.factor}, "geglu");
}

}  // namespace

extern const Kernel geglu_kernel;
const Kernel geglu_kernel{"geglu", binary_supports, nullptr, launch};

}  // namespace g4::cuda

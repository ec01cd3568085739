// geglu: see ops/geglu.h.
#include "backends/cuda/kernels/geglu.h"

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

struct BoundedGeglu {
  Geglu geglu;
  float low, high;
  __device__ float operator()(float gate, float up) const {
    const float x = geglu(gate, up);
    return x < low ? low : x > high ? high : x;
  }
};

void launch(const Call& call) {
  const auto& p = *static_cast<const GegluParams*>(call.params);
  binary_launch(call, Geglu{p.inner, p.factor}, "geglu");
}

}  // namespace

void launch_bounded_geglu(const Call& call, float low, float high) {
  const auto& p = *static_cast<const GegluParams*>(call.params);
  binary_launch(call, BoundedGeglu{{p.inner, p.factor}, low, high}, "geglu and clamp");
}

extern const Kernel geglu_kernel;
const Kernel geglu_kernel{"geglu", binary_supports, nullptr, launch};

}  // namespace g4::cuda

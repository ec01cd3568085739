// geglu: see ops/geglu.h.
#include "ops/geglu.h"

#include "backends/cpu/kernels/halves.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[1].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return piece_scratch(call, call.out[0].cols, 2); }

static void launch(const CpuCall& call) {
  const auto& p = *static_cast<const GegluParams*>(call.params);
  const KernelTensor &gate = call.in[0], &up = call.in[1], &out = call.out[0];
  const bool halves = gate.dtype == DType::BF16 && up.dtype == DType::BF16 && out.dtype == DType::BF16 &&
                      p.inner == DType::BF16 && whole_vectors(out.cols);
  for_pieces(call, out.rows, out.cols, 2, [&](int64_t r, int64_t begin, int64_t n, float* buffer) {
    if (halves) {
      const std::byte *left = element(gate, r, begin), *right = element(up, r, begin);
      std::byte* to = element(out, r, begin);
      const Vec factor = splat(p.factor);
      for (int64_t i = 0; i < n; i += kLanes)
        write_halves(to + i * 2, round_halves(gelu(read_halves(left + i * 2))) * read_halves(right + i * 2) * factor);
      return;
    }
    float* other = buffer + n;
    load_floats(element(gate, r, begin), gate.dtype, buffer, n);
    load_floats(element(up, r, begin), up.dtype, other, n);
    map(buffer, n, [](Vec v) { return gelu(v); });
    round_floats(buffer, p.inner, n);
    for (int64_t i = 0; i < n; ++i) buffer[i] *= other[i];
    if (p.factor != 1.0f)
      for (int64_t i = 0; i < n; ++i) buffer[i] *= p.factor;
    store_floats(buffer, element(out, r, begin), out.dtype, n);
  });
}

extern const CpuKernel geglu_kernel;
const CpuKernel geglu_kernel{"geglu", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

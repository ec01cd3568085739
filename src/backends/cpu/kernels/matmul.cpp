// matmul: see ops/matmul.h. Activations become float32 once; each task computes a block of output columns for all
// tokens.
#include "ops/matmul.h"

#include "backends/cpu/kernels/weight_product.h"

namespace g4::G4_ISA_NAMESPACE {

// Scratch: float32 activations [tokens, k], a pointer to each, then per thread a product's scratch and its result.
struct Layout {
  int64_t tokens, k, n, block;
  int64_t activations, pointers, product, result, total;  // bytes; product and result per thread
};

static Layout layout_of(const CpuCall& call) {
  const CpuTensor &x = call.in[0], &w = call.in[1];
  Layout l{};
  l.tokens = x.rows;
  l.k = x.cols;
  l.n = w.dim[0];
  l.block = block_rows(l.n, l.k, l.tokens);
  l.activations = x.dtype == DType::F32 ? 0 : l.tokens * l.k * 4;
  l.pointers = (l.tokens * 8 + 63) / 64 * 64;
  l.product = product_scratch(l.k, l.tokens) * 4;
  l.result = l.block * l.tokens * 4;
  l.total = (l.activations + 63) / 64 * 64 + l.pointers + call.team->size * (l.product + l.result);
  return l;
}

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype) && row_decoder(call.in[1].dtype);
}

static int64_t workspace(const CpuCall& call) { return layout_of(call).total; }

static void launch(const CpuCall& call) {
  const float alpha = static_cast<const MatmulParams*>(call.params)->alpha;
  const CpuTensor &x = call.in[0], &w = call.in[1], &out = call.out[0];
  const Layout l = layout_of(call);
  auto* activations = reinterpret_cast<float*>(call.scratch);
  std::byte* after = call.scratch + (l.activations + 63) / 64 * 64;
  auto** pointers = reinterpret_cast<const float**>(after);
  std::byte* per_thread = after + l.pointers;

  const int64_t step = rows_per_task(l.k);
  parallel_for(*call.team, (l.tokens + step - 1) / step, [&](int64_t task, int) {
    const int64_t end = (task + 1) * step < l.tokens ? (task + 1) * step : l.tokens;
    for (int64_t t = task * step; t < end; ++t) pointers[t] = floats_of(x, t, activations + t * l.k);
  });
  parallel_for(*call.team, (l.n + l.block - 1) / l.block, [&](int64_t task, int thread) {
    auto* scratch = reinterpret_cast<float*>(per_thread + thread * (l.product + l.result));
    float* result = scratch + l.product / 4;
    const int64_t first = task * l.block;
    const int64_t rows = l.n - first < l.block ? l.n - first : l.block;
    weight_product(w, w.data + first * w.stride[0], w.stride[0], rows, pointers, l.tokens, result, l.block, scratch);
    if (alpha != 1.0f)
      for (int64_t i = 0; i < l.tokens * l.block; ++i) result[i] *= alpha;
    for (int64_t t = 0; t < l.tokens; ++t)
      store_floats(result + t * l.block, out.row(t) + first * element_bytes(out.dtype), out.dtype, rows);
  });
}

extern const CpuKernel matmul_kernel;
const CpuKernel matmul_kernel{"matmul", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

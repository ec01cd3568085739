// expert_matmul: see ops/expert_matmul.h. The (token, choice) pairs are sorted by expert, so that each expert's rows
// are decoded once for all of its tokens; each task computes a block of one expert's rows.
#include "ops/expert_matmul.h"

#include "backends/cpu/kernels/weight_product.h"

namespace g4::G4_ISA_NAMESPACE {

struct Layout {
  int64_t pairs, tokens, k, n, experts, block;
  int64_t activations, pointers, order, starts, product, result, total;  // bytes; product and result per thread
};

static int64_t align(int64_t bytes) { return (bytes + 63) / 64 * 64; }

static Layout layout_of(const CpuCall& call) {
  const CpuTensor &x = call.in[0], &w = call.in[1], &ids = call.in[2];
  Layout l{};
  l.pairs = ids.rows * ids.cols;
  l.tokens = ids.rows;
  l.k = x.cols;
  l.n = w.dim[1];
  l.experts = w.dim[0];
  l.block = block_rows(l.n, l.k, l.tokens);
  l.activations = x.dtype == DType::F32 ? 0 : align(x.rows * l.k * 4);
  l.pointers = align(l.pairs * 8);
  l.order = align(l.pairs * 4);
  l.starts = align((l.experts + 1) * 4);
  l.product = product_scratch(l.k, l.tokens) * 4;
  l.result = l.block * l.tokens * 4;
  l.total = l.activations + l.pointers + l.order + l.starts + call.team->size * (l.product + l.result);
  return l;
}

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype) && row_decoder(call.in[1].dtype);
}

static int64_t workspace(const CpuCall& call) { return layout_of(call).total; }

static void launch(const CpuCall& call) {
  const float alpha = static_cast<const ExpertMatmulParams*>(call.params)->alpha;
  const CpuTensor &x = call.in[0], &w = call.in[1], &ids = call.in[2], &out = call.out[0];
  const Layout l = layout_of(call);
  const int64_t choices = ids.cols;
  auto* activations = reinterpret_cast<float*>(call.scratch);
  auto** pointers = reinterpret_cast<const float**>(call.scratch + l.activations);
  auto* order = reinterpret_cast<int32_t*>(call.scratch + l.activations + l.pointers);
  auto* starts = reinterpret_cast<int32_t*>(call.scratch + l.activations + l.pointers + l.order);
  std::byte* per_thread = call.scratch + l.activations + l.pointers + l.order + l.starts;

  if (x.dtype != DType::F32)
    parallel_for(*call.team, x.rows, [&](int64_t r, int) { floats_of(x, r, activations + r * l.k); });

  // Counting sort of the pairs by expert.
  for (int64_t e = 0; e <= l.experts; ++e) starts[e] = 0;
  for (int64_t p = 0; p < l.pairs; ++p)
    ++starts[reinterpret_cast<const int32_t*>(ids.row(p / choices))[p % choices] + 1];
  for (int64_t e = 0; e < l.experts; ++e) starts[e + 1] += starts[e];
  for (int64_t p = 0; p < l.pairs; ++p) {
    const int32_t e = reinterpret_cast<const int32_t*>(ids.row(p / choices))[p % choices];
    order[starts[e]++] = static_cast<int32_t>(p);
  }
  for (int64_t e = l.experts; e > 0; --e) starts[e] = starts[e - 1];
  starts[0] = 0;
  for (int64_t i = 0; i < l.pairs; ++i) {
    const int64_t row = x.rank == 3 ? order[i] : order[i] / choices;
    pointers[i] = x.dtype == DType::F32 ? reinterpret_cast<const float*>(x.row(row)) : activations + row * l.k;
  }

  const int64_t blocks = (l.n + l.block - 1) / l.block;
  parallel_for(*call.team, l.experts * blocks, [&](int64_t task, int thread) {
    const int64_t e = task / blocks, first = task % blocks * l.block;
    if (starts[e] == starts[e + 1]) return;
    auto* scratch = reinterpret_cast<float*>(per_thread + thread * (l.product + l.result));
    float* result = scratch + l.product / 4;
    const int64_t rows = l.n - first < l.block ? l.n - first : l.block;
    const std::byte* weights = w.data + e * w.stride[0] + first * w.stride[1];
    // An expert has as many columns as there are tokens at most, unless ids repeat within a token.
    for (int64_t c0 = starts[e]; c0 < starts[e + 1]; c0 += l.tokens) {
      const int64_t columns = starts[e + 1] - c0 < l.tokens ? starts[e + 1] - c0 : l.tokens;
      weight_product(w, weights, w.stride[1], rows, pointers + c0, columns, result, l.block, scratch);
      for (int64_t c = 0; c < columns; ++c) {
        for (int64_t r = 0; r < rows; ++r) result[c * l.block + r] *= alpha;
        std::byte* target = out.row(order[c0 + c]) + first * element_bytes(out.dtype);
        store_floats(result + c * l.block, target, out.dtype, rows);
      }
    }
  });
}

extern const CpuKernel expert_matmul_kernel;
const CpuKernel expert_matmul_kernel{"expert_matmul", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

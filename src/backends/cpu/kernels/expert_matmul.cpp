// expert_matmul: see ops/expert_matmul.h. The (token, choice) pairs are sorted by expert, so that each expert's rows
// are decoded once for all of its tokens; each task computes a block of one expert's rows, or some of its panels.
#include "ops/expert_matmul.h"

#include "backends/cpu/kernels/panel_product.h"
#include "backends/cpu/kernels/weight_product.h"

namespace g4::G4_ISA_NAMESPACE {

// The (token, choice) pairs in order of their experts: pair order[i], expert e's from starts[e] to starts[e + 1].
struct Order {
  int32_t* order;
  int32_t* starts;
};

static int64_t order_bytes(const CpuCall& call) {
  const KernelTensor &w = call.in[1], &ids = call.in[2];
  return align64(ids.rows * ids.cols * 4) + align64((w.dim[0] + 1) * 4);
}

static Order sort_pairs(const CpuCall& call, std::byte* memory) {
  const KernelTensor &w = call.in[1], &ids = call.in[2];
  const int64_t pairs = ids.rows * ids.cols, experts = w.dim[0];
  const Order o{reinterpret_cast<int32_t*>(memory), reinterpret_cast<int32_t*>(memory + align64(pairs * 4))};
  const auto expert_of = [&](int64_t p) {
    return reinterpret_cast<const int32_t*>(ids.row(p / ids.cols))[p % ids.cols];
  };
  for (int64_t e = 0; e <= experts; ++e) o.starts[e] = 0;
  for (int64_t p = 0; p < pairs; ++p) ++o.starts[expert_of(p) + 1];
  for (int64_t e = 0; e < experts; ++e) o.starts[e + 1] += o.starts[e];
  for (int64_t p = 0; p < pairs; ++p) o.order[o.starts[expert_of(p)]++] = static_cast<int32_t>(p);
  for (int64_t e = experts; e > 0; --e) o.starts[e] = o.starts[e - 1];
  o.starts[0] = 0;
  return o;
}

// The result of one expert, [tokens, stride], becomes columns [first, first + columns) of the pairs from `begin` on.
static void store_result(const CpuCall& call, const Order& o, int64_t begin, int64_t tokens, float* result,
                         int64_t stride, int64_t first, int64_t columns) {
  const KernelTensor& out = call.out[0];
  const float alpha = static_cast<const ExpertMatmulParams*>(call.params)->alpha;
  for (int64_t t = 0; t < tokens; ++t) {
    float* row = result + t * stride;
    for (int64_t i = 0; i < columns; ++i) row[i] *= alpha;
    store_floats(row, out.row(o.order[begin + t]) + first * element_bytes(out.dtype), out.dtype, columns);
  }
}

// Scratch: the order, the operand of the sorted pairs, then each thread's.
struct PanelLayout {
  int64_t pairs, k, experts, panels, panel_bytes, per_task, most, slots;
  bool halves;
  int64_t order, operand;  // bytes
  PanelScratch thread;
};

static PanelLayout panel_layout(const CpuCall& call, const PanelKernel& kernel) {
  const KernelTensor &x = call.in[0], &w = call.in[1], &ids = call.in[2];
  PanelLayout l{};
  l.pairs = ids.rows * ids.cols;
  l.k = x.cols;
  l.experts = w.dim[0];
  l.panels = w.dim[1] / kPanelRows;
  l.panel_bytes = w.stride[1] * kPanelRows;
  l.most = ids.rows;  // pairs of one product: an expert has more only if ids repeat within a token
  l.per_task = panels_per_task(l.panels, l.panel_bytes, l.most, 1);
  l.halves = takes_halves(kernel, x.dtype, l.most);
  l.slots = l.halves ? l.pairs + l.experts * (kTokenTile - 1) : l.pairs;  // halves: an expert begins with a whole tile
  l.order = order_bytes(call) + align64((l.experts + 1) * 4);
  l.operand = operand_bytes(kernel, l.slots, l.k, l.halves);
  l.thread = panel_scratch(kernel, l.k, l.most, l.per_task * kPanelRows);
  return l;
}

static void launch_panels(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &w = call.in[1], &ids = call.in[2];
  const PanelKernel& kernel = *panel_kernel(w.dtype);
  const PanelLayout l = panel_layout(call, kernel);
  const Order o = sort_pairs(call, call.scratch);
  auto* slots = reinterpret_cast<int32_t*>(call.scratch + order_bytes(call));  // where an expert's pairs begin
  slots[0] = 0;
  for (int64_t e = 0; e < l.experts; ++e) {
    const int64_t pairs = o.starts[e + 1] - o.starts[e];
    slots[e + 1] = slots[e] + static_cast<int32_t>(l.halves ? whole_tiles(pairs) : pairs);
  }
  std::byte* memory = call.scratch + l.order;
  const PanelOperand operand = operand_at(kernel, memory, l.slots, l.k, l.most, l.halves);
  const auto memory_of = [&](int thread) { return memory + l.operand + thread * l.thread.total; };

  parallel_for(*call.team, l.experts, [&](int64_t e, int thread) {
    for (int64_t i = o.starts[e]; i < o.starts[e + 1]; ++i) {
      const int64_t row = x.rank == 3 ? o.order[i] : o.order[i] / ids.cols;
      prepare_row(kernel, x, row, operand, slots[e] + i - o.starts[e], reinterpret_cast<float*>(memory_of(thread)));
    }
  });
  const int64_t tasks = (l.panels + l.per_task - 1) / l.per_task;
  parallel_for(*call.team, l.experts * tasks, [&](int64_t task, int thread) {
    const int64_t e = task / tasks, first = task % tasks * l.per_task;
    const int64_t panels = l.panels - first < l.per_task ? l.panels - first : l.per_task;
    std::byte* stretch = memory_of(thread);
    auto* result = reinterpret_cast<float*>(stretch + l.thread.stretch);
    const int64_t most = l.halves ? whole_tiles(l.most) : l.most;
    for (int64_t done = 0; done < o.starts[e + 1] - o.starts[e]; done += most) {
      const int64_t begin = o.starts[e] + done;
      const int64_t tokens = o.starts[e + 1] - begin < most ? o.starts[e + 1] - begin : most;
      run_product(kernel, w.data + e * w.stride[0] + first * l.panel_bytes, l.panel_bytes, panels, operand,
                  slots[e] + done, tokens, result, panels * kPanelRows, stretch);
      store_result(call, o, begin, tokens, result, panels * kPanelRows, first * kPanelRows, panels * kPanelRows);
    }
  });
}

struct RowLayout {
  int64_t pairs, tokens, k, n, experts, block;
  int64_t activations, pointers, order, product, result, total;  // bytes; product and result per thread
};

static RowLayout layout_of(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &w = call.in[1], &ids = call.in[2];
  RowLayout l{};
  l.pairs = ids.rows * ids.cols;
  l.tokens = ids.rows;
  l.k = x.cols;
  l.n = w.dim[1];
  l.experts = w.dim[0];
  l.block = block_rows(l.n, l.k, l.tokens);
  l.activations = x.dtype == DType::F32 ? 0 : align64(x.rows * l.k * 4);
  l.pointers = align64(l.pairs * 8);
  l.order = order_bytes(call);
  l.product = product_scratch(l.k, l.tokens) * 4;
  l.result = l.block * l.tokens * 4;
  l.total = l.activations + l.pointers + l.order + call.team->size * (l.product + l.result);
  return l;
}

static void launch_rows(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &w = call.in[1], &ids = call.in[2];
  const RowLayout l = layout_of(call);
  const int64_t choices = ids.cols;
  auto* activations = reinterpret_cast<float*>(call.scratch);
  auto** pointers = reinterpret_cast<const float**>(call.scratch + l.activations);
  const Order o = sort_pairs(call, call.scratch + l.activations + l.pointers);
  std::byte* per_thread = call.scratch + l.activations + l.pointers + l.order;

  if (x.dtype != DType::F32)
    parallel_for(*call.team, x.rows, [&](int64_t r, int) { floats_of(x, r, activations + r * l.k); });

  for (int64_t i = 0; i < l.pairs; ++i) {
    const int64_t row = x.rank == 3 ? o.order[i] : o.order[i] / choices;
    pointers[i] = x.dtype == DType::F32 ? reinterpret_cast<const float*>(x.row(row)) : activations + row * l.k;
  }

  const int64_t blocks = (l.n + l.block - 1) / l.block;
  parallel_for(*call.team, l.experts * blocks, [&](int64_t task, int thread) {
    const int64_t e = task / blocks, first = task % blocks * l.block;
    if (o.starts[e] == o.starts[e + 1]) return;
    auto* scratch = reinterpret_cast<float*>(per_thread + thread * (l.product + l.result));
    float* result = scratch + l.product / 4;
    const int64_t rows = l.n - first < l.block ? l.n - first : l.block;
    const std::byte* weights = w.data + e * w.stride[0] + first * w.stride[1];
    // An expert has as many columns as there are tokens at most, unless ids repeat within a token.
    for (int64_t c0 = o.starts[e]; c0 < o.starts[e + 1]; c0 += l.tokens) {
      const int64_t columns = o.starts[e + 1] - c0 < l.tokens ? o.starts[e + 1] - c0 : l.tokens;
      weight_product(w, weights, w.stride[1], rows, pointers + c0, columns, result, l.block, scratch);
      store_result(call, o, c0, columns, result, l.block, first, rows);
    }
  });
}

static int64_t workspace(const CpuCall& call) {
  const KernelTensor& w = call.in[1];
  if (!w.panels) return layout_of(call).total;
  const PanelLayout l = panel_layout(call, *panel_kernel(w.dtype));
  return l.order + l.operand + call.team->size * l.thread.total;
}

static void launch(const CpuCall& call) {
  if (call.in[1].panels)
    launch_panels(call);
  else
    launch_rows(call);
}

extern const CpuKernel expert_matmul_kernel;
const CpuKernel expert_matmul_kernel{"expert_matmul", product_supported, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

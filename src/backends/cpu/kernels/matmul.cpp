// matmul: see ops/matmul.h. Matrices in panels: panel_product.h. Matrices in rows: activations become float32 once;
// each task computes a block of output columns for all tokens.
#include "ops/matmul.h"

#include "backends/cpu/kernels/halves.h"
#include "backends/cpu/kernels/tile_product.h"
#include "backends/cpu/kernels/weight_product.h"

namespace g4::G4_ISA_NAMESPACE {

static const MatmulParams& params_of(const CpuCall& call) { return *static_cast<const MatmulParams*>(call.params); }

static HeldRows held_input(const CpuCall& call) { return held_rows(params_of(call).input, call.in[0].dtype); }

// The result of a task, [tokens, stride], becomes columns [first, first + columns) of the output's rows from `token`
// on.
static G4_INLINE void store_result(const CpuCall& call, float* result, int64_t stride, int64_t token, int64_t tokens,
                                   int64_t first, int64_t columns) {
  const KernelTensor& out = call.out[0];
  const MatmulParams& p = params_of(call);
  const Vec alpha = splat(p.alpha), low = splat(p.output.low), high = splat(p.output.high);
  const bool as_it_is = p.alpha == 1.0f && p.output.low == -__builtin_inff() && p.output.high == __builtin_inff();
  if (out.dtype == DType::BF16 && whole_vectors(columns)) {
    for (int64_t t = 0; t < tokens; ++t) {
      const float* row = result + t * stride;
      std::byte* to = element(out, token + t, first);
      for (int64_t i = 0; i < columns; i += kLanes) {
        const Vec v = load(row + i);
        write_halves(to + i * 2, as_it_is ? v : hold(v * alpha, low, high));
      }
    }
    return;
  }
  for (int64_t t = 0; t < tokens; ++t) {
    float* row = result + t * stride;
    if (!as_it_is) map(row, columns, [&](Vec v) { return hold(v * alpha, low, high); });
    store_floats(row, element(out, token + t, first), out.dtype, columns);
  }
}

// Scratch: the operand, then each thread's. A task takes `per_task` panels and `chunk` tokens.
struct PanelLayout {
  int64_t tokens, k, panels, panel_bytes, per_task, chunk;
  bool halves, streams;
  int64_t operand;  // bytes
  PanelScratch thread;
};

static PanelLayout panel_layout(const CpuCall& call, const PanelKernel& kernel) {
  const KernelTensor &x = call.in[0], &w = call.in[1];
  PanelLayout l{};
  l.tokens = x.rows;
  l.k = x.cols;
  l.panels = w.dim[0] / kPanelRows;
  l.panel_bytes = w.stride[0] * kPanelRows;
  l.halves = takes_halves(kernel, x.dtype, l.tokens);
  l.per_task = panels_per_task(l.panels, l.panel_bytes, l.tokens, call.team->size);
  l.streams = streams_tiles(kernel, l.halves);
  l.chunk = l.tokens;
  if (l.streams)
    l.chunk = stretch_tokens(l.tokens, l.k);
  else if (l.halves)
    l.chunk = tokens_per_task(l.tokens, (l.panels + l.per_task - 1) / l.per_task, call.team->size);
  l.operand = operand_bytes(kernel, l.tokens, l.k, l.halves);
  l.thread = panel_scratch(kernel, l.k, l.streams ? 0 : l.chunk, l.per_task * kPanelRows);
  return l;
}

// Some panels of a call for some tokens.
static void run_task(const CpuCall& call, const PanelLayout& l, const PanelKernel& kernel, const PanelOperand& operand,
                     int64_t task, std::byte* memory) {
  const KernelTensor& w = call.in[1];
  const int64_t chunks = (l.tokens + l.chunk - 1) / l.chunk, groups = (l.panels + l.per_task - 1) / l.per_task;
  const int64_t group = l.streams ? task % groups : task / chunks, chunk = l.streams ? task / groups : task % chunks;
  const int64_t first = group * l.per_task, token = chunk * l.chunk;
  const int64_t panels = l.panels - first < l.per_task ? l.panels - first : l.per_task;
  const int64_t tokens = l.tokens - token < l.chunk ? l.tokens - token : l.chunk;
  const std::byte* weights = w.data + first * l.panel_bytes;
#if defined(__AMX_BF16__)
  if (l.streams)
    return stream_tiles(weights, l.panel_bytes, panels, operand.halves + half_offset(token, 0, l.k), l.k, tokens,
                        [&](float* block, int64_t t, int64_t count, int64_t panel, int64_t width) {
                          const int64_t column = (first + panel) * kPanelRows;
                          if (width == 2)
                            store_result(call, block, kBlockColumns, token + t, count, column, kBlockColumns);
                          else
                            store_result(call, block, kBlockColumns, token + t, count, column, kPanelRows);
                        });
#endif
  auto* result = reinterpret_cast<float*>(memory + l.thread.stretch);
  run_product(kernel, weights, l.panel_bytes, panels, operand, token, tokens, result, panels * kPanelRows, memory);
  store_result(call, result, panels * kPanelRows, token, tokens, first * kPanelRows, panels * kPanelRows);
}

// Calls with the same activations, which are prepared once; the tasks of all are handed out together.
static void launch_panels(const CpuCall* calls, int count) {
  const CpuCall& call = calls[0];
  const KernelTensor& x = call.in[0];
  const PanelKernel* kernels[kMostJoined];
  PanelLayout layouts[kMostJoined];
  int64_t ends[kMostJoined], thread_bytes = 0, tasks = 0;
  for (int i = 0; i < count; ++i) {
    kernels[i] = panel_kernel(calls[i].in[1].dtype);
    const PanelLayout& l = layouts[i] = panel_layout(calls[i], *kernels[i]);
    thread_bytes = l.thread.total > thread_bytes ? l.thread.total : thread_bytes;
    ends[i] = tasks += (l.panels + l.per_task - 1) / l.per_task * ((l.tokens + l.chunk - 1) / l.chunk);
  }
  const PanelLayout& l = layouts[0];
  const PanelOperand operand = operand_at(*kernels[0], call.scratch, l.tokens, l.k, l.tokens, l.halves);
  const auto memory_of = [&](int thread) { return call.scratch + l.operand + thread * thread_bytes; };

  const HeldRows bounds = held_input(call);
  const int64_t step = kTokenTile > rows_per_task(l.k) ? kTokenTile : rows_per_task(l.k);  // threads share no tile
  parallel_for(*call.team, (l.tokens + step - 1) / step, [&](int64_t task, int thread) {
    const int64_t end = (task + 1) * step < l.tokens ? (task + 1) * step : l.tokens;
    for (int64_t t = task * step; t < end; ++t)
      prepare_row(*kernels[0], x, t, operand, t, reinterpret_cast<float*>(memory_of(thread)), bounds);
  });
  parallel_for(*call.team, tasks, [&](int64_t task, int thread) {
    int i = 0;
    while (task >= ends[i]) ++i;
    run_task(calls[i], layouts[i], *kernels[i], operand, task - (i ? ends[i - 1] : 0), memory_of(thread));
  });
}

// Whether panels of both take the same operand.
static bool joins(const CpuCall& first, const CpuCall& next) {
  const KernelTensor &a = first.in[0], &b = next.in[0];
  if (!first.in[1].panels || !next.in[1].panels || a.data != b.data || a.dtype != b.dtype || a.rank != b.rank)
    return false;
  for (int i = 0; i < a.rank; ++i)
    if (a.dim[i] != b.dim[i] || a.stride[i] != b.stride[i]) return false;
  const Bounds &one = params_of(first).input, &other = params_of(next).input;
  if (one.low != other.low || one.high != other.high) return false;
  return same_operand(*panel_kernel(first.in[1].dtype), *panel_kernel(next.in[1].dtype));
}

// Scratch: float32 activations [tokens, k], a pointer to each, then per thread a product's scratch and its result.
struct RowLayout {
  int64_t tokens, k, n, block;
  int64_t activations, pointers, product, result, total;  // bytes; product and result per thread
};

static RowLayout row_layout(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &w = call.in[1];
  RowLayout l{};
  l.tokens = x.rows;
  l.k = x.cols;
  l.n = w.dim[0];
  l.block = block_rows(l.n, l.k, l.tokens);
  l.activations = x.dtype == DType::F32 && !held_input(call).any ? 0 : align64(l.tokens * l.k * 4);
  l.pointers = align64(l.tokens * 8);
  l.product = product_scratch(l.k, l.tokens) * 4;
  l.result = l.block * l.tokens * 4;
  l.total = l.activations + l.pointers + call.team->size * (l.product + l.result);
  return l;
}

static void launch_rows(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &w = call.in[1];
  const RowLayout l = row_layout(call);
  auto* activations = reinterpret_cast<float*>(call.scratch);
  std::byte* after = call.scratch + l.activations;
  auto** pointers = reinterpret_cast<const float**>(after);
  std::byte* per_thread = after + l.pointers;

  const HeldRows bounds = held_input(call);
  parallel_rows(call, l.tokens, l.k,
                [&](int64_t t, int) { pointers[t] = bounds.floats_of(x, t, activations + t * l.k); });
  parallel_for(*call.team, (l.n + l.block - 1) / l.block, [&](int64_t task, int thread) {
    auto* scratch = reinterpret_cast<float*>(per_thread + thread * (l.product + l.result));
    float* result = scratch + l.product / 4;
    const int64_t first = task * l.block;
    const int64_t rows = l.n - first < l.block ? l.n - first : l.block;
    weight_product(w, w.data + first * w.stride[0], w.stride[0], rows, pointers, l.tokens, result, l.block, scratch);
    store_result(call, result, l.block, 0, l.tokens, first, rows);
  });
}

static int64_t workspace(const CpuCall& call) {
  const KernelTensor& w = call.in[1];
  if (!w.panels) return row_layout(call).total;
  const PanelLayout l = panel_layout(call, *panel_kernel(w.dtype));
  return l.operand + call.team->size * l.thread.total;
}

static void launch(const CpuCall& call) {
  if (call.in[1].panels)
    launch_panels(&call, 1);
  else
    launch_rows(call);
}

extern const CpuKernel matmul_kernel;
const CpuKernel matmul_kernel{"matmul", product_supported, workspace, launch, joins, launch_panels};

}  // namespace g4::G4_ISA_NAMESPACE

#include "backends/cuda/fusion.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "backends/cuda/attention_plan.h"
#include "backends/cuda/device_buffer.h"
#include "backends/cuda/executable.h"
#include "backends/cuda/kernels/geglu.h"
#include "backends/cuda/product.h"
#include "backends/cuda/row_chain.h"
#include "ops/add.h"
#include "ops/clamp.h"
#include "ops/expert_matmul.h"
#include "ops/geglu.h"
#include "ops/matmul.h"
#include "ops/mul.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/scale.h"

namespace g4::cuda {
namespace {

constexpr int64_t kAlignment = 16;  // of a piece

// The tensor as rows of whole pieces, or nothing.
std::optional<RowOperand> operand_of(const Tensor& t) {
  const auto* buffer = dynamic_cast<const DeviceBuffer*>(t.buffer);
  if (!buffer || !is_float(t.dtype) || t.layout != TensorLayout::Rows) return {};
  const KernelTensor k = kernel_tensor(t, buffer->device() + t.offset);
  if (k.row_stride < 0 || k.row_stride % kAlignment || reinterpret_cast<uintptr_t>(k.data) % kAlignment) return {};
  return RowOperand{k.data, k.row_stride, k.dtype};
}

bool same_shape(const Tensor& a, const Tensor& b) {
  return a.shape.rows() == b.shape.rows() && a.shape[-1] == b.shape[-1];
}

// `node` as a step over the rows of the value `input`; `store` is left to the caller.
std::optional<RowStep> step_of(const PlacedGraph& graph, const Node& node, ValueId input) {
  RowStep step;
  std::optional<ValueId> second;
  if (node.op == &rms_norm_op && node.inputs[0] == input) {
    step.op = RowStep::Op::Norm;
    step.value = node.as<RmsNormParams>().eps;
    if (node.inputs.size() > 1) second = node.inputs[1];
  } else if (node.op == &clamp_op) {
    step.op = RowStep::Op::Clamp;
    step.value = node.as<ClampParams>().low, step.high = node.as<ClampParams>().high;
  } else if (node.op == &scale_op) {
    step.op = RowStep::Op::Scale;
    step.value = node.as<ScaleParams>().factor;
  } else if ((node.op == &add_op || node.op == &mul_op) && node.inputs[0] != node.inputs[1]) {
    step.op = node.op == &add_op ? RowStep::Op::Add : RowStep::Op::Mul;
    second = node.inputs[node.inputs[0] == input ? 1 : 0];
  } else {
    return {};
  }
  const Tensor out = graph.tensor(node.outputs[0]);
  const auto placed = operand_of(out);
  if (!placed || !same_shape(out, graph.tensor(input))) return {};
  step.out = *placed;
  if (!second) return step;
  const Tensor other = graph.tensor(*second);
  step.one_number = step.op != RowStep::Op::Norm && other.shape.rank() == 1 && other.shape[0] == 1;
  const bool one_row = other.shape.rank() == 1 && other.shape[0] == out.shape[-1];
  const auto operand = operand_of(other);
  if (!operand || (!step.one_number && !one_row && !same_shape(other, out))) return {};
  const bool constant = graph.graph.value(graph.graph.root(*second)).kind == ValueKind::External;
  if (step.op == RowStep::Op::Norm && (operand->dtype != DType::F32 || !one_row || !constant)) return {};
  step.other = *operand;
  return step;
}

struct Range {
  const std::byte *begin, *end;
};
Range range_of(const RowOperand& t, int64_t rows, int64_t cols) {
  return {t.data, t.data + (rows - 1) * t.row_stride + row_bytes(t.dtype, cols)};
}

// Whether rows that are written could be read by another row's block.
bool rows_collide(const RowOperand& written, const RowOperand& read, int64_t rows, int64_t cols) {
  if (rows == 1 || !read.data || read.row_stride == 0) return false;  // what lies at stride 0 stays
  if (written.data == read.data && written.row_stride == read.row_stride && written.dtype == read.dtype) return false;
  const Range a = range_of(written, rows, cols), b = range_of(read, rows, cols);
  return a.begin < b.end && b.begin < a.end;
}

bool collides(const RowChain& chain) {
  for (int w = 0; w < chain.count; ++w) {
    if (!chain.step[w].store) continue;
    if (rows_collide(chain.step[w].out, chain.x, chain.rows, chain.cols)) return true;
    for (int r = 0; r < chain.count; ++r)
      if (!chain.step[r].one_number && rows_collide(chain.step[w].out, chain.step[r].other, chain.rows, chain.cols))
        return true;
  }
  return false;
}

// Whether tensors share bytes of one buffer.
bool overlap(const Tensor& a, const Tensor& b) {
  return a.buffer == b.buffer && a.offset < b.offset + b.bytes() && b.offset < a.offset + a.bytes();
}

bool fusion_wanted() {
  const char* setting = std::getenv("G4CPP_CUDA_FUSION");
  return !setting || std::strcmp(setting, "0") != 0;
}

}  // namespace

Fusion::Fusion(const PlacedGraph& graph, const DeviceLimits& limits, std::byte* scratch)
    : graph_(graph),
      limits_(limits),
      scratch_(scratch),
      readers_(graph.graph.values().size()),
      wanted_(fusion_wanted()) {
  for (const Node& node : graph.graph.nodes())
    for (ValueId id : node.inputs) ++readers_[static_cast<size_t>(graph.graph.root(id))];
  for (size_t i = 0; i < graph.graph.values().size(); ++i)
    if (graph.graph.values()[i].output) ++readers_[static_cast<size_t>(graph.graph.root(static_cast<ValueId>(i)))];
}

bool Fusion::read_once(ValueId id) const { return readers_[static_cast<size_t>(graph_.graph.root(id))] == 1; }

Fused Fusion::at(size_t first, size_t last) const {
  if (!wanted_) return {};
  for (const auto find : {&Fusion::attention, &Fusion::phase, &Fusion::twin_products, &Fusion::bounded_product,
                          &Fusion::bounded_geglu, &Fusion::norm_rope, &Fusion::row_chain})
    if (Fused fused = (this->*find)(first, last); fused.nodes) return fused;
  return {};
}

Fused Fusion::attention(size_t first, size_t last) const {
  const FoundAttention found = find_attention(graph_, limits_, readers_, first, last);
  if (!found.nodes) return {};
  return {static_cast<int>(found.nodes),
          [call = found.call, scratch = scratch_](const DeviceLimits& limits, cudaStream_t stream) {
            launch_attention_one(call, limits, scratch, stream);
          }};
}

Fused Fusion::phase(size_t first, size_t last) const {
  const FoundPhase found = phases_.at(first, last);
  if (!found.nodes) return {};
  return {static_cast<int>(found.nodes),
          [call = found.call](const DeviceLimits& limits, cudaStream_t stream) { launch_phase(call, limits, stream); }};
}

Fused Fusion::row_chain(size_t first, size_t last) const {
  const std::vector<Node>& nodes = graph_.graph.nodes();
  RowChain chain;
  ValueId value = nodes[first].inputs[0];
  const Tensor x = graph_.tensor(value);
  const auto placed = x.shape.rank() ? operand_of(x) : std::nullopt;
  if (!placed) return {};
  chain.x = *placed;
  chain.rows = x.shape.rows();
  chain.cols = x.shape[-1];
  const bool fits = chain.cols <= RowChain::kMostWarpColumns ||
                    (chain.cols >= RowChain::kLeastColumns && chain.cols <= RowChain::kMostColumns);
  if (!fits || chain.cols % 8 || chain.rows < 1 || chain.rows > INT32_MAX) return {};
  std::vector<ValueId> made;
  for (size_t n = first; n < last && chain.count < RowChain::kMostSteps; ++n) {
    const std::vector<ValueId>& inputs = nodes[n].inputs;
    if (std::find(inputs.begin(), inputs.end(), value) == inputs.end()) break;
    // Everything is loaded first, so nothing but the row itself may come from within.
    const bool from_within = std::any_of(inputs.begin(), inputs.end(), [&](ValueId id) {
      return id != value && std::find(made.begin(), made.end(), graph_.graph.root(id)) != made.end();
    });
    const auto step = step_of(graph_, nodes[n], value);
    if (from_within || !step) break;
    if (chain.count) chain.step[chain.count - 1].store = !read_once(value);
    chain.step[chain.count++] = *step;
    value = nodes[n].outputs[0];
    made.push_back(value);
  }
  if (chain.count < 2 || collides(chain)) return {};
  return {chain.count,
          [chain](const DeviceLimits& limits, cudaStream_t stream) { launch_row_chain(chain, limits, stream); }};
}

Fused Fusion::twin_products(size_t first, size_t last) const {
  const std::vector<Node>& nodes = graph_.graph.nodes();
  const OpDef* op = nodes[first].op;
  if (first + 1 >= last || nodes[first + 1].op != op || (op != &matmul_op && op != &expert_matmul_op)) return {};
  const auto product_of = [&](const Node& node) {
    std::vector<Tensor> inputs, outputs{graph_.tensor(node.outputs[0])};
    for (ValueId id : node.inputs) inputs.push_back(graph_.tensor(id));
    const CallTensors tensors(inputs, outputs);
    const Call call = tensors.call(node.params.get(), limits_);
    return op == &matmul_op ? matmul_product(call) : expert_product(call);
  };
  Product both;
  if (!make_twins(product_of(nodes[first]), product_of(nodes[first + 1]), limits_, both)) return {};
  return {2, [both](const DeviceLimits& limits, cudaStream_t stream) {
            Call call;
            call.limits = &limits;
            call.stream = stream;
            launch_product(both, call);
          }};
}

// Rounding keeps the order of numbers, so that what is held to bounds and then rounded once is what rounding, holding
// and rounding again give; but for float16's guard, which makes 0 of what is infinite.
Fused Fusion::bounded_product(size_t first, size_t last) const {
  const std::vector<Node>& nodes = graph_.graph.nodes();
  if (first + 1 >= last || nodes[first].op != &matmul_op || nodes[first + 1].op != &clamp_op) return {};
  const Node &product = nodes[first], &clamp = nodes[first + 1];
  const Tensor out = graph_.tensor(clamp.outputs[0]), x = graph_.tensor(product.inputs[0]);
  if (clamp.inputs[0] != product.outputs[0] || !read_once(product.outputs[0]) ||
      graph_.tensor(product.outputs[0]).dtype != out.dtype || overlap(out, x))
    return {};
  const CallTensors tensors({x, graph_.tensor(product.inputs[1])}, {out});
  const Call call = tensors.call(product.params.get(), limits_);
  Product bounded = matmul_product(call);
  if (bounded.alpha != 1.0f || !wide_fits(bounded, limits_)) return {};
  bounded.bounded = true;
  bounded.low = clamp.as<ClampParams>().low, bounded.high = clamp.as<ClampParams>().high;
  return {2, [bounded, scratch = scratch_](const DeviceLimits& limits, cudaStream_t stream) {
            Call wide;
            wide.limits = &limits;
            wide.stream = stream;
            wide.scratch = scratch;
            launch_wide(bounded, wide);
          }};
}

Fused Fusion::bounded_geglu(size_t first, size_t last) const {
  const std::vector<Node>& nodes = graph_.graph.nodes();
  if (first + 1 >= last || nodes[first].op != &geglu_op || nodes[first + 1].op != &clamp_op) return {};
  const Node &geglu = nodes[first], &clamp = nodes[first + 1];
  const Tensor out = graph_.tensor(clamp.outputs[0]);
  const Tensor gate = graph_.tensor(geglu.inputs[0]), up = graph_.tensor(geglu.inputs[1]);
  if (clamp.inputs[0] != geglu.outputs[0] || !read_once(geglu.outputs[0]) || out.dtype == DType::F16 ||
      graph_.tensor(geglu.outputs[0]).dtype != out.dtype || overlap(out, gate) || overlap(out, up))
    return {};
  const auto tensors = std::make_shared<const CallTensors>(std::vector{gate, up}, std::vector{out});
  const auto& bounds = clamp.as<ClampParams>();
  return {2, [tensors, params = geglu.params, low = bounds.low, high = bounds.high](const DeviceLimits& limits,
                                                                                    cudaStream_t stream) {
            Call call = tensors->call(params.get(), limits);
            call.stream = stream;
            launch_bounded_geglu(call, low, high);
          }};
}

Fused Fusion::norm_rope(size_t first, size_t last) const {
  const std::vector<Node>& nodes = graph_.graph.nodes();
  if (first + 1 >= last || nodes[first].op != &rms_norm_op || nodes[first + 1].op != &rope_op) return {};
  const Node &norm = nodes[first], &rope = nodes[first + 1];
  if (rope.inputs[0] != norm.outputs[0] || !read_once(norm.outputs[0])) return {};
  const Tensor x = graph_.tensor(norm.inputs[0]), out = graph_.tensor(rope.outputs[0]);
  const Tensor table = graph_.tensor(rope.inputs[1]);
  const auto from = operand_of(x), to = operand_of(out), turn = operand_of(table);
  if (!from || !to || !turn || !same_shape(x, out)) return {};
  NormRope call;
  if (norm.inputs.size() > 1) {
    const auto weight = operand_of(graph_.tensor(norm.inputs[1]));
    if (!weight || weight->dtype != DType::F32) return {};
    call.weight = *weight;
  }
  call.rows = x.shape.rows();
  call.cols = x.shape[-1];
  call.heads = out.shape[1];
  const bool fits = call.cols <= NormRope::kMostWarpColumns ||
                    (call.cols >= NormRope::kLeastColumns && call.cols <= NormRope::kMostColumns);
  call.parts = table.shape.rank() == 3 ? static_cast<int>(table.shape[1]) : 1;
  if (!fits || call.cols % (16 * call.parts) || call.rows < 1 || call.rows > INT32_MAX) return {};
  call.x = *from, call.table = *turn, call.out = *to;
  call.eps = norm.as<RmsNormParams>().eps;
  call.normed = graph_.tensor(norm.outputs[0]).dtype;
  call.inner = rope.as<RopeParams>().inner;
  const int64_t tokens = table.shape.rows();
  const Range written = range_of(call.out, call.rows, call.cols), turns = range_of(call.table, tokens, table.shape[-1]);
  if (written.begin < turns.end && turns.begin < written.end) return {};
  if (rows_collide(call.out, call.x, call.rows, call.cols)) return {};
  return {2, [call](const DeviceLimits& limits, cudaStream_t stream) { launch_norm_rope(call, limits, stream); }};
}

}  // namespace g4::cuda

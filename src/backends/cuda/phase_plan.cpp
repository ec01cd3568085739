#include "backends/cuda/phase_plan.h"

#include <algorithm>
#include <optional>

#include "backends/cuda/device_buffer.h"
#include "backends/cuda/phase_nodes.h"
#include "ops/expert_combine.h"
#include "ops/expert_matmul.h"
#include "ops/geglu.h"
#include "ops/matmul.h"
#include "ops/router_topk.h"
#include "ops/softcap.h"

namespace g4::cuda {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

// One attempt to make a phase of the nodes from `first` on.
class Matcher {
 public:
  Matcher(const PlacedGraph& graph, const DeviceLimits& limits, const std::vector<int>& readers, size_t first,
          size_t last)
      : graph_(graph), limits_(limits), readers_(readers), first_(first), last_(last), end_(first) {}

  FoundPhase run() {
    FoundPhase found;
    if (!add_job(found.call, 0)) return {};
    FoundPhase best = closed(found);
    if (!best.nodes) return {};
    // A second job beside it, if it needs nothing of the first's products.
    found.call.jobs = 2;
    if (!add_job(found.call, 1)) return best;
    const FoundPhase both = closed(found);
    return both.nodes ? both : best;
  }

 private:
  const Node& node(size_t n) const { return graph_.graph.nodes()[n]; }
  bool is(size_t n, const OpDef& op) const { return n < last_ && node(n).op == &op; }
  ValueId root(ValueId id) const { return graph_.graph.root(id); }
  size_t producer(ValueId id) const {
    const int32_t n = graph_.graph.value(root(id)).producer;
    return n < 0 ? kNone : static_cast<size_t>(n);
  }
  bool covered(ValueId id) const {
    const size_t n = producer(id);
    return n != kNone && n >= first_;
  }
  bool one_row(ValueId id) const {
    const Tensor t = graph_.tensor(id);
    return t.shape.rank() >= 1 && t.shape.rows() == 1 && t.layout == TensorLayout::Rows && is_float(t.dtype);
  }
  static std::byte* address(const Tensor& t) {
    const auto* buffer = dynamic_cast<const DeviceBuffer*>(t.buffer);
    return buffer ? buffer->device() + t.offset : nullptr;
  }
  // A row of `cols` numbers at 16-byte steps, which the phase reads; nullptr for anything else.
  const std::byte* row(ValueId id, int64_t cols) {
    const Tensor t = graph_.tensor(id);
    const std::byte* data = address(t);
    if (!data || !one_row(id) || t.shape[-1] != cols || reinterpret_cast<uintptr_t>(data) % 16) return nullptr;
    reads_.push_back({data, row_bytes(t.dtype, cols)});
    return data;
  }
  int64_t outside_readers(ValueId id) const {
    int64_t inside = 0;
    for (size_t n = first_; n < end_; ++n)
      for (ValueId input : node(n).inputs) inside += root(input) == root(id);
    return readers_[static_cast<size_t>(root(id))] - inside;
  }
  bool read_once(ValueId id) const { return readers_[static_cast<size_t>(root(id))] == 1; }

  // --- the row -------------------------------------------------------------------------------------------------------

  // Steps that make `id` from a value that lies in memory.
  bool express(PhaseJob& job, ValueId id) {
    const size_t n = producer(id);
    if (!covered(id)) {
      job.x = row(id, job.cols);
      job.x_type = graph_.tensor(id).dtype;
      return job.x != nullptr;
    }
    const Node& op = node(n);
    if (!is_row_op(op) || graph_.tensor(op.outputs[0]).shape[-1] != job.cols || !one_row(op.outputs[0])) return false;
    PhaseStep step;
    step.type = graph_.tensor(op.outputs[0]).dtype;
    ValueId main = op.inputs[0];
    if (op.op == &rms_norm_op) {
      step.op = PhaseStep::Op::Norm;
      if (!norm_weight(op, job.cols, step)) return false;
    } else if (op.op == &scale_op) {
      step.op = PhaseStep::Op::Scale;
      step.value = op.as<ScaleParams>().factor;
    } else if (!two_operands(op, job.cols, step, main)) {
      return false;
    }
    if (!express(job, main) || job.steps >= PhaseJob::kMostSteps) return false;
    job.step[job.steps++] = step;
    made_.push_back({n, job_, job.steps - 1});
    return true;
  }

  bool norm_weight(const Node& op, int64_t cols, PhaseStep& step) {
    step.value = op.as<RmsNormParams>().eps;
    if (op.inputs.size() < 2) return true;
    const Tensor w = graph_.tensor(op.inputs[1]);
    step.weight = address(w);
    return step.weight && w.dtype == DType::F32 && w.shape.rank() == 1 && w.shape[0] == cols &&
           constant(op.inputs[1]) && reinterpret_cast<uintptr_t>(step.weight) % 16 == 0;
  }

  bool constant(ValueId id) const { return graph_.graph.value(root(id)).kind == ValueKind::External; }

  bool two_operands(const Node& op, int64_t cols, PhaseStep& step, ValueId& main) {
    step.op = op.op == &add_op ? PhaseStep::Op::Add : PhaseStep::Op::Mul;
    ValueId other = op.inputs[1];
    if (main == other) return false;
    if (covered(other) && !covered(main)) std::swap(main, other);
    if (covered(other)) return step.op == PhaseStep::Op::Add && add_norm(other, cols, step);
    const Tensor t = graph_.tensor(other);
    step.other_type = t.dtype;
    step.one_number = t.shape.rank() == 1 && t.shape[0] == 1 && cols != 1;
    step.constant = constant(other);
    step.other = step.one_number ? address(t) : row(other, cols);
    return step.other != nullptr && is_float(t.dtype);
  }

  // A sum whose second operand is itself a norm, of something in memory.
  bool add_norm(ValueId other, int64_t cols, PhaseStep& step) {
    const size_t n = producer(other);
    const Node& norm = node(n);
    if (norm.op != &rms_norm_op || covered(norm.inputs[0]) || !norm_weight(norm, cols, step)) return false;
    step.op = PhaseStep::Op::AddNorm;
    step.inner = graph_.tensor(other).dtype;
    step.other = row(norm.inputs[0], cols);
    step.other_type = graph_.tensor(norm.inputs[0]).dtype;
    made_.push_back({n, -1, 0});
    return step.other != nullptr;
  }

  // --- the products --------------------------------------------------------------------------------------------------

  struct Matrix {
    const std::byte* data = nullptr;
    DType dtype = DType::F32;
    int64_t n = 0, k = 0, expert_bytes = 0, experts = 0;
  };
  std::optional<Matrix> matrix(ValueId id) const {
    const Tensor t = graph_.tensor(id);
    const bool panels = t.layout == TensorLayout::Panels;
    const int rank = t.shape.rank();
    if (rank < 2 || rank > 3 || !constant(id) || !phase_takes(t.dtype, panels, t.shape[-2], t.shape[-1])) return {};
    Matrix m{address(t), t.dtype, t.shape[-2], t.shape[-1], 0, 0};
    if (rank == 3) m.experts = t.shape[0], m.expert_bytes = t.strides[0];
    const bool whole = t.strides[static_cast<size_t>(rank - 2)] == row_bytes(t.dtype, m.k);
    if (!m.data || !whole || m.k % 32 || m.n % phase_group_rows(t.dtype) || m.n > INT32_MAX || m.k > INT32_MAX / 4 ||
        reinterpret_cast<uintptr_t>(m.data) % 16 || m.expert_bytes % 16)
      return {};
    return m;
  }

  // Row operations, products and what follows them, from end_ on.
  bool add_job(PhaseCall& call, int index) {
    PhaseJob& job = call.job[index];
    job_ = index;
    const size_t begin = end_;
    size_t n = end_;
    const size_t topk = is(n, router_topk_op) ? n++ : kNone;
    while (n < last_ && is_row_op(node(n)) && one_row(node(n).outputs[0])) ++n;
    end_ = n;
    const bool matched = is(n, matmul_op) && topk == kNone ? products(job, call.weights[index])
                         : is(n, expert_matmul_op)         ? experts(job, call.weights[index], topk)
                                                           : false;
    const bool main_format = index == 0 || call.weights[1] == call.weights[0] || call.weights[1] == DType::BF16;
    if (!matched || !main_format) end_ = begin;
    return matched && main_format;
  }

  void begin_products(PhaseJob& job, const Node& product, const Matrix& m) {
    job.k = job.cols = static_cast<int>(m.k);
    job.out_type = job.line_type = graph_.tensor(product.outputs[0]).dtype;
  }
  std::byte* output(ValueId id) {
    const Tensor t = graph_.tensor(id);
    std::byte* data = address(t);
    if (data) writes_.push_back({data, t.bytes()});
    return t.contiguous() ? data : nullptr;
  }

  bool products(PhaseJob& job, DType& weights) {
    const Node& first = node(end_);
    const auto m = matrix(first.inputs[1]);
    if (!m || m->experts || !one_row(first.outputs[0])) return false;
    begin_products(job, first, *m);
    weights = m->dtype;
    job.alpha = first.as<MatmulParams>().alpha;
    const auto more = [&](size_t n) -> std::optional<Matrix> {
      if (!is(n, matmul_op) || node(n).inputs[0] != first.inputs[0]) return {};
      const auto next = matrix(node(n).inputs[1]);
      const bool alike = next && next->dtype == weights && !next->experts && next->k == m->k &&
                         node(n).as<MatmulParams>().alpha == job.alpha &&
                         graph_.tensor(node(n).outputs[0]).dtype == job.out_type;
      return alike ? next : std::nullopt;
    };
    size_t n = end_;
    if (const auto up = more(n + 1);
        up && up->n == m->n && gated(job, n + 2, first.outputs[0], node(n + 1).outputs[0])) {
      job.lines = 2;
      job.matrix[0] = m->data, job.matrix[1] = up->data;
      job.rows_end[0] = static_cast<int>(m->n);
      end_ = n + 3;
    } else if (gated(job, n + 1, first.outputs[0], -1)) {
      job.matrix[0] = m->data;
      job.rows_end[0] = static_cast<int>(m->n);
      end_ = n + 2;
    } else {
      int rows = 0;
      job.matrices = 0;
      for (std::optional<Matrix> next = m; next && job.matrices < PhaseJob::kMostMatrices; next = more(++n)) {
        job.matrix[job.matrices] = next->data;
        job.out[job.matrices] = output(node(n).outputs[0]);
        rows += static_cast<int>(next->n);
        if (!job.out[job.matrices]) return false;
        job.rows_end[job.matrices++] = rows;
      }
      end_ = n;
      if (job.matrices == 1) single_end(job, first.outputs[0]);
    }
    job.tasks = (job.lines == 1 ? job.rows_end[job.matrices - 1] : job.rows_end[0]) / phase_group_rows(weights);
    return express(job, first.inputs[0]);
  }

  // Node n is the GELU of `gate` times `up` (-1: times a row in memory).
  bool gated(PhaseJob& job, size_t n, ValueId gate, ValueId up) {
    if (!is(n, geglu_op) || node(n).inputs[0] != gate || !read_once(gate)) return false;
    const ValueId second = node(n).inputs[1];
    if (up >= 0 ? second != up || !read_once(up) : covered(second)) return false;
    if (up < 0) {
      job.other = row(second, graph_.tensor(gate).shape[-1]);
      job.other_type = graph_.tensor(second).dtype;
      if (!job.other) return false;
    }
    const auto& params = node(n).as<GegluParams>();
    job.end = up >= 0 ? PhaseEnd::Geglu : PhaseEnd::GeluMul;
    job.inner = params.inner;
    job.factor = params.factor;
    job.out[0] = output(node(n).outputs[0]);
    job.out_type = graph_.tensor(node(n).outputs[0]).dtype;
    return job.out[0] != nullptr;
  }

  // A scale or a soft cap of the only product.
  void single_end(PhaseJob& job, ValueId product) {
    const bool scaled = is(end_, scale_op), capped = is(end_, softcap_op);
    if ((!scaled && !capped) || node(end_).inputs[0] != product || !read_once(product)) return;
    std::byte* const out = output(node(end_).outputs[0]);
    if (!out) return;
    job.end = scaled ? PhaseEnd::Scale : PhaseEnd::Softcap;
    job.factor = scaled ? node(end_).as<ScaleParams>().factor : node(end_).as<SoftcapParams>().cap;
    job.out[0] = out;
    job.out_type = graph_.tensor(node(end_).outputs[0]).dtype;
    if (scaled) scaled_ = end_;
    ++end_;
  }

  bool experts(PhaseJob& job, DType& weights, size_t topk) {
    const Node& first = node(end_);
    const auto m = matrix(first.inputs[1]);
    const Tensor ids = graph_.tensor(first.inputs[2]), x = graph_.tensor(first.inputs[0]);
    if (!m || !m->experts || ids.shape.rows() != 1 || ids.shape[-1] > PhaseJob::kMostLines) return false;
    begin_products(job, first, *m);
    weights = m->dtype;
    job.alpha = first.as<ExpertMatmulParams>().alpha;
    job.choices = static_cast<int>(ids.shape[-1]);
    job.expert_bytes = m->expert_bytes;
    job.rows_end[0] = static_cast<int>(m->n);
    job.matrix[0] = m->data;
    job.ids = reinterpret_cast<int32_t*>(address(ids));
    const int groups = static_cast<int>(m->n) / phase_group_rows(weights);
    const size_t n = end_;
    if (x.shape.rank() == 3) {  // down, and the sum over experts
      if (topk != kNone || !is(n + 1, expert_combine_op) || node(n + 1).inputs[0] != first.outputs[0] ||
          !read_once(first.outputs[0]) || !x.contiguous())
        return false;
      job.end = PhaseEnd::Combine;
      job.choices_are_lines = true;
      job.lines = job.choices;
      job.cols = job.k * job.choices;
      job.tasks = groups;
      job.weights = reinterpret_cast<float*>(address(graph_.tensor(node(n + 1).inputs[1])));
      job.out[0] = output(node(n + 1).outputs[0]);
      job.out_type = graph_.tensor(node(n + 1).outputs[0]).dtype;
      job.x = address(x);
      job.x_type = x.dtype;
      reads_.push_back({job.x, x.bytes()});
      end_ = n + 2;
      return job.x && job.out[0] && job.ids && job.weights && reinterpret_cast<uintptr_t>(job.x) % 16 == 0 &&
             !covered(first.inputs[0]) && !covered(first.inputs[2]);
    }
    // Gate and up.
    if (!is(n + 1, expert_matmul_op) || node(n + 1).inputs[0] != first.inputs[0] ||
        node(n + 1).inputs[2] != first.inputs[2])
      return false;
    const auto up = matrix(node(n + 1).inputs[1]);
    if (!up || up->dtype != weights || up->n != m->n || up->k != m->k || up->expert_bytes != m->expert_bytes ||
        node(n + 1).as<ExpertMatmulParams>().alpha != job.alpha ||
        !gated(job, n + 2, first.outputs[0], node(n + 1).outputs[0]))
      return false;
    job.lines = 2;
    job.matrix[1] = up->data;
    job.tasks = groups * job.choices;
    end_ = n + 3;
    if (topk != kNone && !choose(job, topk, first.inputs[2])) return false;
    if (topk == kNone && covered(first.inputs[2])) return false;
    fetch_next(job, first.inputs[2]);
    return job.ids && express(job, first.inputs[0]);
  }

  // The choice is made in the phase, from logits in memory.
  bool choose(PhaseJob& job, size_t topk, ValueId ids) {
    const Node& op = node(topk);
    const Tensor logits = graph_.tensor(op.inputs[0]), scale = graph_.tensor(op.inputs[1]);
    if (root(op.outputs[0]) != root(ids) || logits.shape.rows() != 1 || covered(op.inputs[0]) ||
        logits.shape[-1] > PhaseJob::kMostExperts || !is_float(logits.dtype) || scale.dtype != DType::F32)
      return false;
    job.logits = address(logits);
    job.logits_type = logits.dtype;
    job.experts = static_cast<int>(logits.shape[-1]);
    job.expert_scale = reinterpret_cast<const float*>(address(scale));
    job.weights = reinterpret_cast<float*>(output(op.outputs[1]));
    if (job.logits) reads_.push_back({job.logits, logits.bytes()});
    return job.logits && job.expert_scale && job.weights && output(op.outputs[0]);
  }

  // The down projections of the same experts come next.
  void fetch_next(PhaseJob& job, ValueId ids) const {
    if (!is(end_, expert_matmul_op) || node(end_).inputs[2] != ids) return;
    const auto m = matrix(node(end_).inputs[1]);
    if (!m || m->expert_bytes != m->n * row_bytes(m->dtype, m->k)) return;
    job.next_matrix = m->data;
    job.next_bytes = m->expert_bytes;
  }

  // --- the whole -----------------------------------------------------------------------------------------------------

  // The phase of what has been matched so far, if all of its nodes are in it and nothing it writes is read by another
  // of its blocks.
  FoundPhase closed(FoundPhase found) {
    for (size_t n = first_; n < end_; ++n)
      if (is_row_op(node(n)) && n != scaled_ &&
          std::none_of(made_.begin(), made_.end(), [&](const Made& m) { return m.node == n; }))
        return {};
    std::vector<Span> writes = writes_;
    std::vector<size_t> stored;
    for (const Made& m : made_) {
      const ValueId id = node(m.node).outputs[0];
      if (!outside_readers(id)) continue;
      if (m.job < 0) return {};
      if (std::find(stored.begin(), stored.end(), m.node) != stored.end()) continue;
      stored.push_back(m.node);
      const Tensor t = graph_.tensor(id);
      PhaseJob& job = found.call.job[m.job];
      job.step[m.step].out = address(t);
      if (!job.step[m.step].out || reinterpret_cast<uintptr_t>(job.step[m.step].out) % 16) return {};
      writes.push_back({job.step[m.step].out, t.bytes()});
    }
    for (const Span& w : writes)
      for (const Span& r : reads_)
        if (w.meets(r)) return {};
    if (!spread_phase(found.call, limits_)) return {};
    found.nodes = end_ - first_;
    return found;
  }

  struct Made {
    size_t node;
    int job;  // -1: the norm inside an AddNorm
    int step;
  };

  const PlacedGraph& graph_;
  const DeviceLimits& limits_;
  const std::vector<int>& readers_;
  const size_t first_, last_;
  size_t end_;
  int job_ = 0;
  size_t scaled_ = kNone;  // the scale that follows a product
  std::vector<Made> made_;
  std::vector<Span> reads_, writes_;
};

}  // namespace

FoundPhase PhasePlan::at(size_t first, size_t last) const {
  return Matcher(graph_, limits_, readers_, first, last).run();
}

}  // namespace g4::cuda

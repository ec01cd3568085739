// The CPU backend: host memory, the best kernel set this processor runs, one persistent thread pool.
// G4CPP_CPU_ISA=baseline|avx2|avxvnni|avx512|avx512bf16|amx, on Arm neon|dotprod|i8mm, forces a set (tests run every
// path this way).
#include <algorithm>
#include <cstring>
#include <mutex>

#include "backends/cpu/isa.h"
#include "backends/cpu/panels.h"
#include "backends/cpu/read_probe.h"
#include "backends/cpu/weight_arena.h"
#include "backends/host_buffer.h"
#include "backends/registry.h"
#include "base/core_turns.h"
#include "base/thread_pool.h"

namespace g4 {
namespace {

struct CallTensors {
  std::vector<KernelTensor> in;
  std::vector<KernelTensor> out;
};

CallTensors tensors_of(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs) {
  CallTensors t;
  for (const Tensor& x : inputs) t.in.push_back(kernel_tensor(x, x.host()));
  for (const Tensor& x : outputs) t.out.push_back(kernel_tensor(x, x.host()));
  return t;
}

CpuCall call_over(const CallTensors& t, const OpParams* params, const CpuTeam* team) {
  return {t.in.data(), static_cast<int>(t.in.size()), t.out.data(), params, team, nullptr};
}

bool reads_results(const Graph& graph, const Node& node, const Node& of) {
  for (ValueId in : node.inputs)
    for (ValueId out : of.outputs)
      if (graph.root(in) == graph.root(out)) return true;
  return false;
}

class CpuExecutable final : public Executable {
 public:
  // `independent`: needs no result of the step before.
  void add(const CpuKernel* kernel, CallTensors tensors, const OpParams* params, const CpuTeam* team,
           std::byte* scratch, bool independent) {
    CpuCall call = call_over(tensors, params, team);
    call.scratch = scratch;
    Step* last = steps_.empty() ? nullptr : &steps_.back();
    if (!independent || !last || last->kernel != kernel || last->calls.size() == kMostJoined || !kernel->joins ||
        !kernel->joins(last->calls[0], call))
      last = &steps_.emplace_back(Step{kernel, {}, {}});
    last->tensors.push_back(std::move(tensors));
    last->calls.push_back(call);
  }
  // Nodes in the last step.
  size_t joined() const { return steps_.empty() ? 0 : steps_.back().calls.size(); }
  void keep(std::shared_ptr<const PlacedGraph> graph) { graph_ = std::move(graph); }

  void run(const Poll& poll) override {
    if (steps_.empty()) return;
    CoreTurns::Turn turn(process_cores(), steps_.front().calls[0].team->size);
    for (const Step& step : steps_) {
      if (step.calls.size() > 1)
        step.kernel->launch_joined(step.calls.data(), static_cast<int>(step.calls.size()));
      else
        step.kernel->launch(step.calls[0]);
      turn.pass();
      for (size_t i = 0; poll && i < step.calls.size(); ++i) poll();
    }
  }

 private:
  struct Step {
    const CpuKernel* kernel;
    std::vector<CallTensors> tensors;  // what the calls point to
    std::vector<CpuCall> calls;        // more than one: joined
  };
  std::vector<Step> steps_;
  std::shared_ptr<const PlacedGraph> graph_;  // owns the parameters
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options)
      : pool_(options.n_threads > 0 ? options.n_threads : default_thread_count()),
        kernels_(select_kernel_set()),
        options_(options) {
    team_ = {&pool_, pool_.size(), [](void* pool, int64_t n_tasks, void (*task)(void*, int64_t, int), void* context) {
               static_cast<ThreadPool*>(pool)->run(n_tasks,
                                                   [&](int64_t index, int thread) { task(context, index, thread); });
             }};
  }

  std::string name() const override { return "cpu"; }
  int n_threads() const override { return pool_.size(); }
  DeviceInfo device() const override { return probe_cpu(); }
  double read_speed() override {
    if (!probe_) probe_ = std::make_unique<ReadProbe>();
    return probe_->run(pool_);
  }

  std::unique_ptr<Buffer> allocate(int64_t bytes) override { return std::make_unique<HostBuffer>(bytes); }
  DeviceWeights import(const HostWeights& weights) override {
    if (layout_of(weights) == TensorLayout::Rows)
      return {std::make_unique<HostView>(weights.bytes, weights.keep_alive)};
    const WeightArena::Place packed = arena_.take(weights.bytes.size());
    const int64_t row = row_bytes(weights.dtype, weights.shape[-1]), panel = row * kPanelRows;
    const int64_t panels = weights.shape.rows() / kPanelRows;
    const int64_t step = std::max<int64_t>(1, (int64_t{1} << 20) / panel);  // of a mebibyte, then its pages go
    pool_.run((panels + step - 1) / step, [&](int64_t task, int) {
      const int64_t begin = task * step, end = std::min(panels, begin + step);
      for (int64_t p = begin; p < end; ++p)
        pack_panel(weights.dtype, weights.bytes.data() + p * panel, row, row, packed.bytes.data() + p * panel);
      if (weights.mapped)
        MappedFile::release(
            weights.bytes.subspan(static_cast<size_t>(begin * panel), static_cast<size_t>((end - begin) * panel)));
    });
    return {std::make_unique<HostView>(packed.bytes, packed.keep_alive), TensorLayout::Panels};
  }

  // Panels where the kernels multiply them and the mode allows it: f32 mode multiplies exact weights and activations.
  TensorLayout layout_of(const HostWeights& weights) const override {
    if (!options_.repack || options_.activations == DType::F32 || weights.use != WeightUse::Matrix)
      return TensorLayout::Rows;
    const Shape& s = weights.shape;
    if (s.rank() < 2 || s[-2] % kPanelRows || panel_fields(weights.dtype).empty()) return TensorLayout::Rows;
    KernelTensor x, w, out;
    x.dtype = out.dtype = options_.activations;
    x.cols = w.cols = s[-1];
    w.dtype = weights.dtype;
    w.panels = true;
    const KernelTensor in[] = {x, w};
    return find("matmul")->supports({in, 2, &out, nullptr, &team_, nullptr}) ? TensorLayout::Panels
                                                                             : TensorLayout::Rows;
  }

  bool supports(const OpCall& call) const override {
    const CpuKernel* kernel = find(call.op->name);
    const CallTensors tensors = tensors_of(call.inputs, call.outputs);
    return kernel && kernel->supports(call_over(tensors, call.params, &team_));
  }

  int64_t workspace(const OpCall& call) const override {
    const CpuKernel* kernel = find(call.op->name);
    const CallTensors tensors = tensors_of(call.inputs, call.outputs);
    return kernel && kernel->workspace ? kernel->workspace(call_over(tensors, call.params, &team_)) : 0;
  }

  std::unique_ptr<Executable> compile(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last,
                                      int64_t workspace_offset) override {
    auto executable = std::make_unique<CpuExecutable>();
    const std::vector<Node>& nodes = graph->graph.nodes();
    for (size_t n = first; n < last; ++n) {
      const Node& node = nodes[n];
      bool independent = true;
      for (size_t before = n - executable->joined(); before < n; ++before)
        independent = independent && !reads_results(graph->graph, node, nodes[before]);
      std::vector<Tensor> inputs, outputs;
      for (ValueId id : node.inputs) inputs.push_back(graph->tensor(id));
      for (ValueId id : node.outputs) outputs.push_back(graph->tensor(id));
      executable->add(find(node.op->name), tensors_of(inputs, outputs), node.params.get(), &team_,
                      graph->arena->host() + workspace_offset, independent);
    }
    executable->keep(std::move(graph));
    return executable;
  }

 private:
  const CpuKernel* find(std::string_view op) const {
    for (int i = 0; i < kernels_.count; ++i)
      if (op == kernels_.kernels[i]->op) return kernels_.kernels[i];
    return nullptr;
  }

  ThreadPool pool_;
  CpuKernelSet kernels_;
  BackendOptions options_;
  CpuTeam team_;
  WeightArena arena_;
  std::unique_ptr<ReadProbe> probe_;
};

const BackendRegistration registration(
    "cpu", 0,
    [](const BackendOptions& options) -> std::unique_ptr<Backend> { return std::make_unique<CpuBackend>(options); },
    probe_cpu);

}  // namespace
}  // namespace g4

// The backend "reference": the oracle of the op tests and a second implementation of the interface. Host memory, one
// thread, every primitive operation with any strides and dtypes, no fused operation (so that those are expanded).
#include <algorithm>
#include <array>

#include "backends/host_buffer.h"
#include "backends/registry.h"
#include "ops/op_table.h"
#include "reference/kernels.h"

namespace g4::reference {
namespace {

struct Entry {
  const OpDef* op;
  Kernel kernel;
};

const std::array kKernels = {
    Entry{&add_op, add},
    Entry{&attention_op, attention},
    Entry{&causal_conv1d_op, causal_conv1d},
    Entry{&clamp_op, clamp},
    Entry{&conv2d_op, conv2d},
    Entry{&embed_op, embed},
    Entry{&expert_combine_op, expert_combine},
    Entry{&expert_matmul_op, expert_matmul},
    Entry{&gather_rows_op, gather_rows},
    Entry{&gelu_op, gelu},
    Entry{&glu_op, glu},
    Entry{&group_mean_op, group_mean},
    Entry{&kv_write_op, kv_write},
    Entry{&layer_norm_op, layer_norm},
    Entry{&matmul_op, matmul},
    Entry{&mul_op, mul},
    Entry{&relative_attention_op, relative_attention},
    Entry{&relu_op, relu},
    Entry{&replace_rows_op, replace_rows},
    Entry{&rms_norm_op, rms_norm},
    Entry{&rope_op, rope},
    Entry{&rope_table_op, rope_table},
    Entry{&router_topk_op, router_topk},
    Entry{&scale_op, scale},
    Entry{&silu_op, silu},
    Entry{&softcap_op, softcap},
    Entry{&top_k_op, top_k},
};

Kernel find_kernel(const OpDef* op) {
  const auto found =
      std::find_if(kKernels.begin(), kKernels.end(), [op](const Entry& entry) { return entry.op == op; });
  return found == kKernels.end() ? nullptr : found->kernel;
}

class ReferenceExecutable final : public Executable {
 public:
  ReferenceExecutable(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last) : graph_(std::move(graph)) {
    for (size_t n = first; n < last; ++n) {
      const Node& node = graph_->graph.nodes()[n];
      OpCall call{node.op, node.params.get(), {}, {}};
      for (ValueId id : node.inputs) call.inputs.push_back(graph_->tensor(id));
      for (ValueId id : node.outputs) call.outputs.push_back(graph_->tensor(id));
      calls_.push_back(std::move(call));
    }
  }

  void run(const Poll& poll) override {
    for (const OpCall& call : calls_) {
      if (poll) poll();
      find_kernel(call.op)(call);
    }
  }

 private:
  std::shared_ptr<const PlacedGraph> graph_;  // owns the parameters that the calls point to
  std::vector<OpCall> calls_;
};

DeviceInfo probe() {
  DeviceInfo device;
  device.name = "reference";
  device.description = "scalar double-precision reference, for tests";
  const SystemMemory memory = system_memory();
  device.memory_total = static_cast<int64_t>(memory.total);
  device.memory_available = static_cast<int64_t>(memory.available);
  return device;
}

class ReferenceBackend final : public Backend {
 public:
  std::string name() const override { return "reference"; }
  DeviceInfo device() const override { return probe(); }
  std::unique_ptr<Buffer> allocate(int64_t bytes) override { return std::make_unique<HostBuffer>(bytes); }
  DeviceWeights import(const HostWeights& weights) override {
    return {std::make_unique<HostView>(weights.bytes, weights.keep_alive)};
  }
  bool supports(const OpCall& call) const override { return find_kernel(call.op) != nullptr; }
  int64_t workspace(const OpCall&) const override { return 0; }
  std::unique_ptr<Executable> compile(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last,
                                      int64_t) override {
    return std::make_unique<ReferenceExecutable>(std::move(graph), first, last);
  }
};

const BackendRegistration registration(
    "reference", -1,
    [](const BackendOptions&) -> std::unique_ptr<Backend> { return std::make_unique<ReferenceBackend>(); }, probe);

}  // namespace
}  // namespace g4::reference

G4_EXPORT_BACKEND("reference")

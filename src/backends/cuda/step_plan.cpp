#include "backends/cuda/step_plan.h"

#include <memory>
#include <span>

#include "backends/cuda/executable.h"
#include "backends/cuda/fusion.h"

namespace g4::cuda {

std::span<const Kernel* const> all_kernels();  // the generated list

const Kernel* find_kernel(std::string_view op) {
  for (const Kernel* kernel : all_kernels())
    if (op == kernel->op) return kernel;
  return nullptr;
}

std::vector<PlannedStep> plan_steps(const PlacedGraph& graph, size_t first, size_t last, const DeviceLimits& limits,
                                    std::byte* scratch) {
  std::vector<PlannedStep> steps;
  const Fusion fusion(graph, limits, scratch);
  for (size_t n = first; n < last;) {
    if (Fused fused = fusion.at(n, last); fused.nodes) {
      steps.push_back({std::move(fused.launch), fused.nodes});
      n += static_cast<size_t>(fused.nodes);
      continue;
    }
    const Node& node = graph.graph.nodes()[n++];
    std::vector<Tensor> inputs, outputs;
    for (ValueId id : node.inputs) inputs.push_back(graph.tensor(id));
    for (ValueId id : node.outputs) outputs.push_back(graph.tensor(id));
    const auto tensors = std::make_shared<const CallTensors>(inputs, outputs);
    steps.push_back({[kernel = find_kernel(node.op->name), tensors, params = node.params.get(), scratch](
                         const DeviceLimits& device, cudaStream_t stream) {
                       Call call = tensors->call(params, device);
                       call.stream = stream;
                       call.scratch = scratch;
                       kernel->launch(call);
                     },
                     1});
  }
  return steps;
}

}  // namespace g4::cuda

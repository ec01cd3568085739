#include "backends/cuda/cuda_backend.h"

#include <cstring>
#include <mutex>

#include "backends/cuda/device.h"
#include "backends/cuda/device_buffer.h"
#include "backends/cuda/executable.h"
#include "backends/cuda/launch.h"
#include "backends/cuda/panels.h"
#include "backends/cuda/probe.h"
#include "backends/cuda/self_test.h"
#include "backends/cuda/step_plan.h"

namespace g4::cuda {

namespace {

void test_once(Backend& backend) {
  static std::mutex mutex;
  static bool passed = false;
  std::lock_guard lock(mutex);
  if (passed) return;
  self_test(backend);
  passed = true;
}

}  // namespace

CudaBackend::CudaBackend(const BackendOptions& options)
    : options_(options), context_(std::make_shared<Context>()), weights_(context_) {
  test_once(*this);
}

DeviceInfo CudaBackend::device() const {
  DeviceInfo info = probe_device();
  info.memory_available += context_->held();
  return info;
}

double CudaBackend::read_speed() { return measure_read_speed(context_); }

std::unique_ptr<Buffer> CudaBackend::allocate(int64_t bytes) {
  weights_.end_loading();
  const auto memory = std::make_shared<const DeviceMemory>(context_, bytes);
  check(cudaMemsetAsync(memory->data(), 0, static_cast<size_t>(memory->size()), context_->stream()), "zeroing memory");
  return std::make_unique<DeviceBuffer>(context_, memory, memory->data(), bytes);
}

std::unique_ptr<Buffer> CudaBackend::allocate_input(int64_t bytes) {
  weights_.end_loading();
  const auto memory = std::make_shared<const PinnedMemory>(context_, bytes);
  std::memset(memory->host(), 0, static_cast<size_t>(bytes));
  return std::make_unique<InputBuffer>(context_, memory, bytes);
}

DeviceWeights CudaBackend::import(const HostWeights& weights) { return weights_.import(weights, layout_of(weights)); }

TensorLayout CudaBackend::layout_of(const HostWeights& weights) const {
  const bool panels = options_.repack && has_panels(weights.dtype, weights.shape, weights.use, options_.activations);
  return panels ? TensorLayout::Panels : TensorLayout::Rows;
}

bool CudaBackend::supports(const OpCall& call) const {
  const Kernel* kernel = find_kernel(call.op->name);
  const CallTensors tensors(call.inputs, call.outputs);
  return kernel && kernel->supports(tensors.call(call.params, context_->limits()));
}

int64_t CudaBackend::workspace(const OpCall& call) const {
  const Kernel* kernel = find_kernel(call.op->name);
  const CallTensors tensors(call.inputs, call.outputs);
  return kernel && kernel->workspace ? kernel->workspace(tensors.call(call.params, context_->limits())) : 0;
}

std::unique_ptr<Executable> CudaBackend::compile(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last,
                                                 int64_t workspace_offset) {
  const auto* arena = dynamic_cast<const DeviceBuffer*>(graph->arena);
  G4_CHECK(arena != nullptr, "an arena of another device");
  auto executable = std::make_unique<CudaExecutable>(context_, graph);
  for (PlannedStep& step : plan_steps(*graph, first, last, context_->limits(), arena->device() + workspace_offset))
    executable->add(
        [launch = std::move(step.launch), context = context_.get()] { launch(context->limits(), context->stream()); },
        step.nodes);
  return executable;
}

namespace {

const BackendRegistration registration(
    "cuda", 10,
    [](const BackendOptions& options) -> std::unique_ptr<Backend> { return std::make_unique<CudaBackend>(options); },
    probe_device);

}  // namespace
}  // namespace g4::cuda

G4_EXPORT_BACKEND("cuda")

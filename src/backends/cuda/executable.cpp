#include "backends/cuda/executable.h"

#include <cstdlib>
#include <cstring>

#include "backends/cuda/device_buffer.h"
#include "backends/cuda/launch.h"
#include "backends/cuda/probe.h"

namespace g4::cuda {
namespace {

KernelTensor on_device(const Tensor& t) {
  const auto* buffer = dynamic_cast<const DeviceBuffer*>(t.buffer);
  return kernel_tensor(t, buffer ? buffer->device() + t.offset : nullptr);
}

bool graphs_wanted() {
  const char* setting = std::getenv("G4CPP_CUDA_GRAPHS");
  return !setting || std::strcmp(setting, "0") != 0;
}

}  // namespace

CallTensors::CallTensors(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs) {
  for (const Tensor& t : inputs) in.push_back(on_device(t));
  for (const Tensor& t : outputs) out.push_back(on_device(t));
}

Call CallTensors::call(const OpParams* params, const DeviceLimits& limits) const {
  Call c;
  c.in = in.data();
  c.n_in = static_cast<int>(in.size());
  c.out = out.data();
  c.params = params;
  c.limits = &limits;
  return c;
}

CudaExecutable::CudaExecutable(std::shared_ptr<Context> context, std::shared_ptr<const PlacedGraph> graph)
    : context_(std::move(context)), graph_(std::move(graph)), capturing_allowed_(graphs_wanted()) {}

CudaExecutable::~CudaExecutable() {
  if (!recorded_) return;
  cudaStreamSynchronize(context_->stream());
  cudaGraphExecDestroy(recorded_);
}

void CudaExecutable::add(std::function<void()> launch, int nodes) { steps_.push_back({std::move(launch), nodes}); }

// The first run has loaded every kernel: loading is not allowed while a stream is captured.
void CudaExecutable::capture() {
  cudaGraph_t graph = nullptr;
  check(cudaStreamBeginCapture(context_->stream(), cudaStreamCaptureModeThreadLocal), "capturing a step");
  try {
    for (const Step& step : steps_) step.launch();
  } catch (...) {
    cudaStreamEndCapture(context_->stream(), &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(context_->stream(), &graph), "capturing a step");
  const cudaError_t error = cudaGraphInstantiate(&recorded_, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "making a step's graph");
}

void CudaExecutable::run(const Poll& poll) {
  if (poll) poll();
  context_->running(concat("a step of ", steps_.size(), " launches"));
  if (ran_ && capturing_allowed_) {
    if (!recorded_) capture();
    return context_->check_run(cudaGraphLaunch(recorded_, context_->stream()));
  }
  for (const Step& step : steps_) step.launch();
  ran_ = true;
}

std::vector<double> CudaExecutable::node_milliseconds() {
  std::vector<cudaEvent_t> ends(steps_.size() + 1);
  for (cudaEvent_t& event : ends) check(cudaEventCreate(&event), "creating an event");
  // The device waits until all is enqueued, else it would wait for the host between the operations.
  const auto enqueue = [&] {
    delay(10e-3, context_->stream());
    check(cudaEventRecord(ends[0], context_->stream()), "recording an event");
    for (size_t i = 0; i < steps_.size(); ++i) {
      steps_[i].launch();
      check(cudaEventRecord(ends[i + 1], context_->stream()), "recording an event");
    }
  };
  enqueue();
  context_->synchronise();
  std::vector<double> milliseconds;
  for (size_t i = 0; i < steps_.size(); ++i) {
    float passed = 0;
    check(cudaEventElapsedTime(&passed, ends[i], ends[i + 1]), "reading a time");
    milliseconds.push_back(static_cast<double>(passed));
    milliseconds.resize(milliseconds.size() + static_cast<size_t>(steps_[i].nodes - 1));  // 0: done with the first
  }
  for (cudaEvent_t event : ends) cudaEventDestroy(event);
  return milliseconds;
}

}  // namespace g4::cuda

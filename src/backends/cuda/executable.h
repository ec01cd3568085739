// A step on the device: launches in order, replayed as one CUDA graph from the third run on.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "backends/backend.h"
#include "backends/cuda/context.h"

namespace g4::cuda {

// The tensors of a call as kernels see them; device pointers, nullptr where a tensor has no place.
struct CallTensors {
  CallTensors(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs);
  Call call(const OpParams* params, const DeviceLimits& limits) const;

  std::vector<KernelTensor> in;
  std::vector<KernelTensor> out;
};

class CudaExecutable final : public Executable {
 public:
  CudaExecutable(std::shared_ptr<Context> context, std::shared_ptr<const PlacedGraph> graph);
  ~CudaExecutable() override;

  // What enqueues the next `nodes` nodes.
  void add(std::function<void()> launch, int nodes);
  // Polls once, then enqueues the step.
  void run(const Poll& poll) override;
  std::vector<double> node_milliseconds() override;

 private:
  struct Step {
    std::function<void()> launch;
    int nodes;
  };
  void capture();

  std::shared_ptr<Context> context_;
  std::shared_ptr<const PlacedGraph> graph_;  // owns what the launches point to
  std::vector<Step> steps_;
  bool capturing_allowed_;
  bool ran_ = false;
  cudaGraphExec_t recorded_ = nullptr;
};

}  // namespace g4::cuda

// The CUDA backend: one device, one stream. A library of its own, loaded at run time (registry.h).
// G4CPP_CUDA_GRAPHS=0 launches every operation by itself instead of replaying steps as graphs.
#pragma once

#include "backends/backend.h"
#include "backends/cuda/context.h"
#include "backends/cuda/weight_store.h"
#include "backends/registry.h"

namespace g4::cuda {

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const BackendOptions& options);

  std::string name() const override { return "cuda"; }
  // Memory that this backend holds counts as available to it.
  DeviceInfo device() const override;
  // Large where memory is: decoding weights and starting kernels cost the same for any number of tokens.
  int64_t micro_batch() const override { return device().memory_total >= int64_t{64} << 30 ? 8192 : 2048; }
  int32_t linger() const override { return 32; }  // more than a phase has
  double read_speed() override;

  bool reads_host_memory() const override { return true; }
  int64_t reserve(int64_t largest_weight, int64_t planned) const override {
    return WeightStore::reserve(largest_weight, planned);
  }
  std::unique_ptr<Buffer> allocate(int64_t bytes) override;
  std::unique_ptr<Buffer> allocate_input(int64_t bytes) override;
  DeviceWeights import(const HostWeights& weights) override;
  TensorLayout layout_of(const HostWeights& weights) const override;

  bool supports(const OpCall& call) const override;
  int64_t workspace(const OpCall& call) const override;
  std::unique_ptr<Executable> compile(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last,
                                      int64_t workspace_offset) override;

 private:
  BackendOptions options_;
  std::shared_ptr<Context> context_;
  WeightStore weights_;
};

}  // namespace g4::cuda

// Weights on their way to the device and on it: tensors side by side in chunks of device memory, large files brought
// over through pinned memory, matrices packed there for the kernels.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "backends/cuda/context.h"
#include "base/thread_pool.h"
#include "tensor/host_weights.h"

namespace g4::cuda {

class WeightStore {
 public:
  explicit WeightStore(std::shared_ptr<Context> context) : context_(std::move(context)) {}
  // Throws MemoryError.
  DeviceWeights import(const HostWeights& weights, TensorLayout layout);
  // Bytes beside `planned` ones for what is allocated after loading: what chunks leave unused, the copy from which the
  // largest matrix is packed, and what the driver takes for code and recorded steps.
  static int64_t reserve(int64_t largest_weight, int64_t planned);
  // Frees what only loading needs; the next import makes it anew.
  void end_loading();

 private:
  // Bytes that begin at a multiple of kAlignment and are followed by kTail readable ones.
  std::unique_ptr<class DeviceBuffer> take(int64_t bytes);
  struct Staging;
  Staging& staging();
  void upload(const HostWeights& weights, std::byte* target);
  DeviceWeights keep_on_host(const HostWeights& weights);

  // Pinned memory that a file's bytes pass through, one half being filled while the other crosses.
  struct Staging {
    Staging();
    ~Staging();
    static constexpr int64_t kHalf = int64_t{1} << 25;
    void copy(std::byte* target, std::span<const std::byte> source);
    ThreadPool pool;
    std::byte* memory = nullptr;
    std::array<cudaEvent_t, 2> crossed{};
    int64_t pieces = 0;
  };

  std::shared_ptr<Context> context_;
  std::shared_ptr<const DeviceMemory> chunk_;  // lives while a tensor in it does
  int64_t used_ = 0;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<DeviceMemory> unpacked_;  // rows of the matrix that is being packed
};

}  // namespace g4::cuda

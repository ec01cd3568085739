#include "backends/cuda/context.h"

#include <algorithm>
#include <cstring>

#include "backends/cuda/launch.h"

namespace g4::cuda {
namespace {

// Below this a plain copy is as fast as one in pieces through pinned memory.
constexpr int64_t kSmallRead = 1 << 14;

DeviceLimits limits_of_device() {
  int device = 0, major = 0, minor = 0, multiprocessors = 0, shared = 0;
  check(cudaGetDevice(&device), "choosing a device");
  const auto attribute = [&](cudaDeviceAttr which, int& value) {
    check(cudaDeviceGetAttribute(&value, which, device), "asking the device for its limits");
  };
  attribute(cudaDevAttrComputeCapabilityMajor, major);
  attribute(cudaDevAttrComputeCapabilityMinor, minor);
  attribute(cudaDevAttrMultiProcessorCount, multiprocessors);
  attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, shared);
  DeviceLimits limits;
  limits.architecture = 10 * major + minor;
  limits.multiprocessors = multiprocessors;
  limits.shared_bytes = shared;
  return limits;
}

}  // namespace

Context::Context() : limits_(limits_of_device()) {
  try {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
    check(cudaMallocHost(reinterpret_cast<void**>(&pinned_), 2 * kReadPiece), "pinning host memory");
    constexpr size_t kBytes = DeviceLimits::kCounters * sizeof(int32_t);
    check(cudaMalloc(reinterpret_cast<void**>(&limits_.counters), kBytes), "allocating counters");
    check(cudaMemsetAsync(limits_.counters, 0, kBytes, stream_), "zeroing counters");
    for (cudaEvent_t& event : arrived_)
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
  } catch (...) {
    release();
    throw;
  }
}

Context::~Context() { release(); }

void Context::release() {
  if (stream_) cudaStreamSynchronize(stream_);
  for (cudaEvent_t event : arrived_)
    if (event) cudaEventDestroy(event);
  cudaFree(limits_.counters);
  cudaFreeHost(pinned_);
  if (stream_) cudaStreamDestroy(stream_);
}

void Context::check_run(cudaError_t error) const {
  if (error == cudaSuccess) return;
  fail<DeviceError>("cuda", cudaGetErrorString(error), " (", cudaGetErrorName(error), ") while running ", running_,
                    "; CUDA_LAUNCH_BLOCKING=1 G4CPP_CUDA_GRAPHS=0 names the operation");
}

void Context::copy_to_device(std::byte* target, const void* source, int64_t bytes) {
  if (bytes == 0) return;
  check_run(cudaMemcpyAsync(target, source, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream_));
}

void Context::copy_to_host(void* target, const std::byte* source, int64_t bytes) {
  if (bytes <= kSmallRead) {
    if (bytes > 0)
      check_run(cudaMemcpyAsync(target, source, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream_));
    return synchronise();
  }
  // One piece crosses while the piece before is copied on.
  const int64_t pieces = (bytes + kReadPiece - 1) / kReadPiece;
  const auto size_of = [&](int64_t i) { return static_cast<size_t>(std::min(kReadPiece, bytes - i * kReadPiece)); };
  for (int64_t i = 0; i <= pieces; ++i) {
    if (i < pieces) {
      check_run(cudaMemcpyAsync(pinned_ + i % 2 * kReadPiece, source + i * kReadPiece, size_of(i),
                                cudaMemcpyDeviceToHost, stream_));
      check_run(cudaEventRecord(arrived_[static_cast<size_t>(i % 2)], stream_));
    }
    if (i > 0) {
      check_run(cudaEventSynchronize(arrived_[static_cast<size_t>((i - 1) % 2)]));
      std::memcpy(static_cast<std::byte*>(target) + (i - 1) * kReadPiece, pinned_ + (i - 1) % 2 * kReadPiece,
                  size_of(i - 1));
    }
  }
}

PinnedMemory::PinnedMemory(std::shared_ptr<Context> context, int64_t bytes) : context_(std::move(context)) {
  const auto size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  const cudaError_t error = cudaHostAlloc(reinterpret_cast<void**>(&host_), size, cudaHostAllocMapped);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // it is reported here, not by the next launch
    fail<MemoryError>("memory", "cuda: ", bytes, " bytes of pinned host memory asked for, refused");
  }
  context_->check_run(error);
  const cudaError_t mapping = cudaHostGetDevicePointer(reinterpret_cast<void**>(&device_), host_, 0);
  if (mapping == cudaSuccess) return;
  cudaFreeHost(host_);
  context_->check_run(mapping);
}

PinnedMemory::~PinnedMemory() {
  cudaStreamSynchronize(context_->stream());  // what was enqueued may still read it
  cudaFreeHost(host_);
}

DeviceMemory::DeviceMemory(std::shared_ptr<Context> context, int64_t bytes)
    : context_(std::move(context)), bytes_(std::max<int64_t>(bytes, 1)) {
  const cudaError_t error = cudaMalloc(reinterpret_cast<void**>(&data_), static_cast<size_t>(bytes_));
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // it is reported here, not by the next launch
    size_t available = 0, total = 0;
    check(cudaMemGetInfo(&available, &total), "asking for free memory");
    fail<MemoryError>("memory", "cuda: ", bytes_, " bytes asked for, ", available, " of ", total, " free");
  }
  context_->check_run(error);
  context_->held_ += bytes_;
}

DeviceMemory::~DeviceMemory() {
  cudaStreamSynchronize(context_->stream());  // what was enqueued may still use it
  cudaFree(data_);
  context_->held_ -= bytes_;
}

}  // namespace g4::cuda

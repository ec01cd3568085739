// What the parts of one CUDA backend share: the stream that all its work is enqueued on, copies in that stream's order,
// device memory, and what was running when the device reports a failure.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "backends/cuda/kernel.h"

namespace g4::cuda {

class Context {
 public:
  // On the current device. Throws DeviceError.
  Context();
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  cudaStream_t stream() const { return stream_; }
  const DeviceLimits& limits() const { return limits_; }
  // Bytes of device memory that this context holds.
  int64_t held() const { return held_; }

  // `source` may be reused when this returns.
  void copy_to_device(std::byte* target, const void* source, int64_t bytes);
  // Waits for everything enqueued before.
  void copy_to_host(void* target, const std::byte* source, int64_t bytes);
  void synchronise() { check_run(cudaStreamSynchronize(stream_)); }

  // What runs from now on; named when a failure shows, which may be later.
  void running(std::string what) { running_ = std::move(what); }
  // Throws DeviceError naming what was running.
  void check_run(cudaError_t error) const;

 private:
  friend class DeviceMemory;
  void release();
  static constexpr int64_t kReadPiece = int64_t{1} << 19;

  cudaStream_t stream_ = nullptr;
  DeviceLimits limits_;
  std::atomic<int64_t> held_{0};
  std::string running_ = "start";
  std::byte* pinned_ = nullptr;  // two pieces that reads go through
  std::array<cudaEvent_t, 2> arrived_{};
};

// Host memory that the device reads in place, freed with the object. Throws MemoryError with the bytes asked for.
class PinnedMemory {
 public:
  PinnedMemory(std::shared_ptr<Context> context, int64_t bytes);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  std::byte* host() const { return host_; }
  std::byte* device() const { return device_; }

 private:
  std::shared_ptr<Context> context_;
  std::byte* host_ = nullptr;
  std::byte* device_ = nullptr;
};

// Bytes of device memory, freed with the object. Contents are undefined. Throws MemoryError with the bytes asked for
// and free.
class DeviceMemory {
 public:
  DeviceMemory(std::shared_ptr<Context> context, int64_t bytes);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  std::byte* data() const { return data_; }
  int64_t size() const { return bytes_; }

 private:
  std::shared_ptr<Context> context_;
  std::byte* data_ = nullptr;
  int64_t bytes_;
};

}  // namespace g4::cuda

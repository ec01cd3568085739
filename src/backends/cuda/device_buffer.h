// A range of memory that the device addresses, as the graph sees it: its own, or pinned on the host.
#pragma once

#include <cstring>
#include <memory>

#include "backends/cuda/context.h"
#include "tensor/buffer.h"

namespace g4::cuda {

class DeviceBuffer : public Buffer {
 public:
  // `bytes` from `data` on, a pointer of the device's, inside `memory`.
  DeviceBuffer(std::shared_ptr<Context> context, std::shared_ptr<const void> memory, std::byte* data, int64_t bytes)
      : context_(std::move(context)), memory_(std::move(memory)), data_(data), bytes_(bytes) {}

  int64_t size() const override { return bytes_; }
  std::byte* host() override { return nullptr; }
  std::byte* device() const { return data_; }
  void write(int64_t offset, const void* source, int64_t bytes) override {
    check_range(offset, bytes);
    context_->copy_to_device(data_ + offset, source, bytes);
  }
  void read(int64_t offset, void* target, int64_t bytes) const override {
    check_range(offset, bytes);
    context_->copy_to_host(target, data_ + offset, bytes);
  }

 protected:
  Context& context() const { return *context_; }
  void check_range(int64_t offset, int64_t bytes) const {
    G4_CHECK(offset >= 0 && bytes >= 0 && offset + bytes <= bytes_, offset, " + ", bytes, " of ", bytes_);
  }

 private:
  std::shared_ptr<Context> context_;
  std::shared_ptr<const void> memory_;
  std::byte* data_;
  int64_t bytes_;
};

// Pinned memory that the host fills and kernels read where it lies. Who writes through `host` sees to it that no kernel
// still reads.
class InputBuffer final : public DeviceBuffer {
 public:
  InputBuffer(const std::shared_ptr<Context>& context, const std::shared_ptr<const PinnedMemory>& memory, int64_t bytes)
      : DeviceBuffer(context, memory, memory->device(), bytes), host_(memory->host()) {}

  std::byte* host() override { return host_; }
  void write(int64_t offset, const void* source, int64_t bytes) override {
    check_range(offset, bytes);
    context().synchronise();
    if (bytes) std::memcpy(host_ + offset, source, static_cast<size_t>(bytes));
  }
  void read(int64_t offset, void* target, int64_t bytes) const override {
    check_range(offset, bytes);
    context().synchronise();
    if (bytes) std::memcpy(target, host_ + offset, static_cast<size_t>(bytes));
  }

 private:
  std::byte* host_;
};

}  // namespace g4::cuda

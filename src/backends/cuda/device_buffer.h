// A range of memory that the device addresses, as the graph sees it: its own, or pinned on the host.
#pragma once

#include <memory>

#include "backends/cuda/context.h"
#include "tensor/buffer.h"

namespace g4::cuda {

class DeviceBuffer final : public Buffer {
 public:
  // `bytes` from `data` on, a pointer of the device's, inside `memory`.
  DeviceBuffer(std::shared_ptr<Context> context, std::shared_ptr<const void> memory, std::byte* data, int64_t bytes)
      : context_(std::move(context)), memory_(std::move(memory)), data_(data), bytes_(bytes) {}

  int64_t size() const override { return bytes_; }
  std::byte* host() override { return nullptr; }
  std::byte* device() const { return data_; }
  void write(int64_t offset, const void* source, int64_t bytes) override {
    G4_CHECK(offset >= 0 && bytes >= 0 && offset + bytes <= bytes_, offset, " + ", bytes, " of ", bytes_);
    context_->copy_to_device(data_ + offset, source, bytes);
  }
  void read(int64_t offset, void* target, int64_t bytes) const override {
    G4_CHECK(offset >= 0 && bytes >= 0 && offset + bytes <= bytes_, offset, " + ", bytes, " of ", bytes_);
    context_->copy_to_host(target, data_ + offset, bytes);
  }

 private:
  std::shared_ptr<Context> context_;
  std::shared_ptr<const void> memory_;
  std::byte* data_;
  int64_t bytes_;
};

}  // namespace g4::cuda

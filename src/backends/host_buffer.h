// Buffers in host memory: owned and lazily committed, a view of somebody else's bytes, and a phantom that has a size
// and no bytes (memory plans are made of these).
#pragma once

#include <cstring>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/mapped_file.h"
#include "tensor/buffer.h"

namespace g4 {

class HostBuffer final : public Buffer {
 public:
  explicit HostBuffer(int64_t bytes) : memory_(static_cast<size_t>(bytes)) {}
  int64_t size() const override { return static_cast<int64_t>(memory_.size()); }
  std::byte* host() override { return memory_.data(); }
  void write(int64_t offset, const void* source, int64_t bytes) override;
  void read(int64_t offset, void* target, int64_t bytes) const override;

 private:
  LazyMemory memory_;
};

// Read-only bytes of a mapped file.
class HostView final : public Buffer {
 public:
  HostView(std::span<const std::byte> bytes, std::shared_ptr<const void> keep_alive)
      : bytes_(bytes), keep_alive_(std::move(keep_alive)) {}
  int64_t size() const override { return static_cast<int64_t>(bytes_.size()); }
  std::byte* host() override { return const_cast<std::byte*>(bytes_.data()); }
  void write(int64_t offset, const void* source, int64_t bytes) override;
  void read(int64_t offset, void* target, int64_t bytes) const override;

 private:
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> keep_alive_;
};

class PhantomBuffer final : public Buffer {
 public:
  explicit PhantomBuffer(int64_t bytes) : bytes_(bytes) {}
  int64_t size() const override { return bytes_; }
  std::byte* host() override { return nullptr; }
  void write(int64_t, const void*, int64_t) override { fail<InternalError>("buffer", "a phantom cannot be written"); }
  void read(int64_t, void*, int64_t) const override { fail<InternalError>("buffer", "a phantom cannot be read"); }

 private:
  int64_t bytes_;
};

}  // namespace g4

// Buffer: a range of memory on some device. Backends subclass it; everything above sees size, device and, where the
// memory can be addressed by the host, a pointer.
#pragma once

#include <cstddef>
#include <cstdint>

namespace g4 {

class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual int64_t size() const = 0;
  // nullptr when the host cannot address this memory.
  virtual std::byte* host() = 0;
  // Copies between host memory and this buffer; for host memory a memcpy.
  virtual void write(int64_t offset, const void* source, int64_t bytes) = 0;
  virtual void read(int64_t offset, void* target, int64_t bytes) const = 0;
};

}  // namespace g4

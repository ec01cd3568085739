#include "backends/host_buffer.h"

namespace g4 {
namespace {

void check_range(int64_t size, int64_t offset, int64_t bytes) {
  G4_CHECK(offset >= 0 && bytes >= 0 && bytes <= size - offset, offset, " + ", bytes, " of ", size);
}

}  // namespace

void HostBuffer::write(int64_t offset, const void* source, int64_t bytes) {
  check_range(size(), offset, bytes);
  if (bytes) std::memcpy(memory_.data() + offset, source, static_cast<size_t>(bytes));
}

void HostBuffer::read(int64_t offset, void* target, int64_t bytes) const {
  check_range(size(), offset, bytes);
  if (bytes) std::memcpy(target, memory_.data() + offset, static_cast<size_t>(bytes));
}

void HostView::write(int64_t, const void*, int64_t) { fail<InternalError>("buffer", "mapped weights are read-only"); }

void HostView::read(int64_t offset, void* target, int64_t bytes) const {
  check_range(size(), offset, bytes);
  if (bytes) std::memcpy(target, bytes_.data() + offset, static_cast<size_t>(bytes));
}

}  // namespace g4

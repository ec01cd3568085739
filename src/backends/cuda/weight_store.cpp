#include "backends/cuda/weight_store.h"

#include <algorithm>
#include <cstring>

#include "backends/cuda/device_buffer.h"
#include "backends/cuda/launch.h"
#include "backends/cuda/panels.h"
#include "base/mapped_file.h"

namespace g4::cuda {
namespace {

constexpr int64_t kChunk = int64_t{1} << 26;
constexpr int64_t kOwnMemory = kChunk / 4;  // larger tensors do not share
constexpr int64_t kAlignment = 256;
constexpr int64_t kTail = 4096;               // kernels may load ahead
constexpr int64_t kSmall = int64_t{1} << 22;  // goes over without staging
constexpr int64_t kCopyTask = int64_t{1} << 20;

int64_t align(int64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

WeightStore::Staging::Staging() : pool(std::min(8, default_thread_count())) {
  check(cudaMallocHost(reinterpret_cast<void**>(&memory), 2 * kHalf), "pinning host memory");
  for (cudaEvent_t& event : crossed)
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
}

void WeightStore::Staging::copy(std::byte* target, std::span<const std::byte> source) {
  const auto bytes = static_cast<int64_t>(source.size());
  pool.run((bytes + kCopyTask - 1) / kCopyTask, [&](int64_t task, int) {
    const int64_t at = task * kCopyTask;
    std::memcpy(target + at, source.data() + at, static_cast<size_t>(std::min(kCopyTask, bytes - at)));
  });
}

WeightStore::Staging::~Staging() {
  for (cudaEvent_t event : crossed) {
    cudaEventSynchronize(event);
    cudaEventDestroy(event);
  }
  cudaFreeHost(memory);
}

std::unique_ptr<DeviceBuffer> WeightStore::take(int64_t bytes) {
  if (bytes > kOwnMemory) {
    const auto own = std::make_shared<const DeviceMemory>(context_, bytes + kTail);
    return std::make_unique<DeviceBuffer>(context_, own, own->data(), bytes);
  }
  if (!chunk_ || chunk_->size() - kTail - used_ < bytes) {
    chunk_.reset();
    chunk_ = std::make_shared<const DeviceMemory>(context_, kChunk + kTail);
    used_ = 0;
  }
  std::byte* data = chunk_->data() + used_;
  used_ = align(used_ + bytes);
  return std::make_unique<DeviceBuffer>(context_, chunk_, data, bytes);
}

WeightStore::Staging& WeightStore::staging() {
  if (!staging_) staging_ = std::make_unique<Staging>();
  return *staging_;
}

void WeightStore::upload(const HostWeights& weights, std::byte* target) {
  const auto bytes = static_cast<int64_t>(weights.bytes.size());
  if (bytes <= kSmall) return context_->copy_to_device(target, weights.bytes.data(), bytes);
  Staging& s = staging();
  for (int64_t begin = 0; begin < bytes; begin += Staging::kHalf, ++s.pieces) {
    const int64_t n = std::min(Staging::kHalf, bytes - begin);
    const cudaEvent_t crossed = s.crossed[static_cast<size_t>(s.pieces % 2)];
    std::byte* half = s.memory + s.pieces % 2 * Staging::kHalf;
    context_->check_run(cudaEventSynchronize(crossed));  // done at once where it was never recorded
    const auto source = weights.bytes.subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
    s.copy(half, source);
    context_->copy_to_device(target + begin, half, n);
    context_->check_run(cudaEventRecord(crossed, context_->stream()));
    if (weights.mapped) MappedFile::release(source);
  }
}

// A copy, not the file's own pages: those could be pinned only where the driver pins read-only mappings.
DeviceWeights WeightStore::keep_on_host(const HostWeights& weights) {
  const auto bytes = static_cast<int64_t>(weights.bytes.size());
  const auto memory = std::make_shared<const PinnedMemory>(context_, bytes + kTail);
  constexpr int64_t kStep = Staging::kHalf;
  for (int64_t begin = 0; begin < bytes; begin += kStep) {
    const auto piece =
        weights.bytes.subspan(static_cast<size_t>(begin), static_cast<size_t>(std::min(kStep, bytes - begin)));
    staging().copy(memory->host() + begin, piece);
    if (weights.mapped) MappedFile::release(piece);
  }
  return {std::make_unique<DeviceBuffer>(context_, memory, memory->device(), bytes), TensorLayout::Rows, true};
}

DeviceWeights WeightStore::import(const HostWeights& weights, TensorLayout layout) {
  const auto bytes = static_cast<int64_t>(weights.bytes.size());
  context_->running("the loading of weights");
  if (weights.stays_on_host) return keep_on_host(weights);
  std::unique_ptr<DeviceBuffer> buffer = take(bytes);
  if (layout == TensorLayout::Panels) {
    if (!unpacked_ || unpacked_->size() < bytes) {
      unpacked_.reset();
      unpacked_ = std::make_unique<DeviceMemory>(context_, bytes);
    }
    upload(weights, unpacked_->data());
    pack_panels(weights.dtype, weights.shape.rows(), weights.shape[-1], unpacked_->data(), buffer->device(),
                context_->stream());
  } else {
    upload(weights, buffer->device());
  }
  return {std::move(buffer), layout};
}

int64_t WeightStore::reserve(int64_t largest_weight, int64_t planned) {
  constexpr int64_t kDriver = int64_t{256} << 20;
  return kDriver + kChunk + std::max<int64_t>(0, largest_weight - planned);
}

void WeightStore::end_loading() {
  staging_.reset();
  unpacked_.reset();
}

}  // namespace g4::cuda

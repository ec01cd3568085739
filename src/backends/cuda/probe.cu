#include <algorithm>
#include <vector>

#include "backends/cuda/launch.h"
#include "backends/cuda/probe.h"

namespace g4::cuda {
namespace {

constexpr int64_t kProbeBytes = int64_t{1} << 31;
constexpr int kRuns = 5;
constexpr int kThreads = 1024, kBlocksEach = 2, kLoads = 8;

__global__ void __launch_bounds__(kThreads) read_all(const uint4* data, int64_t count, uint32_t* sink) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  uint32_t mixed = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step * kLoads) {
    uint4 piece[kLoads] = {};
#pragma unroll
    for (int j = 0; j < kLoads; ++j)
      if (i + j * step < count) piece[j] = __ldcs(data + i + j * step);
#pragma unroll
    for (int j = 0; j < kLoads; ++j) mixed ^= piece[j].x ^ piece[j].y ^ piece[j].z ^ piece[j].w;
  }
  if (mixed == 0x12345678u) *sink = mixed;  // else the loads would be removed
}

__global__ void wait_for(uint64_t nanoseconds) {
  uint64_t begin = 0, now = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
  do asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  while (now - begin < nanoseconds);
}

}  // namespace

double measure_read_speed(const std::shared_ptr<Context>& context) {
  size_t available = 0, total = 0;
  check(cudaMemGetInfo(&available, &total), "asking for free memory");
  const int64_t bytes = std::min(kProbeBytes, static_cast<int64_t>(available / 2)) / 16 * 16;
  const DeviceMemory memory(context, bytes + 16), sink(context, 16);
  const cudaStream_t stream = context->stream();
  check(cudaMemsetAsync(memory.data(), 0x5a, static_cast<size_t>(bytes), stream), "filling memory");
  cudaEvent_t began, ended;
  check(cudaEventCreate(&began), "creating an event");
  check(cudaEventCreate(&ended), "creating an event");
  std::vector<double> speeds;
  for (int run = 0; run <= kRuns; ++run) {
    check(cudaEventRecord(began, stream), "recording an event");
    read_all<<<static_cast<unsigned>(kBlocksEach * context->limits().multiprocessors), kThreads, 0, stream>>>(
        reinterpret_cast<const uint4*>(memory.data()), bytes / 16, reinterpret_cast<uint32_t*>(sink.data()));
    check_launch("read probe");
    check(cudaEventRecord(ended, stream), "recording an event");
    check(cudaEventSynchronize(ended), "the read probe");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, began, ended), "reading a time");
    if (run > 0) speeds.push_back(static_cast<double>(bytes) / (static_cast<double>(milliseconds) * 1e-3));
  }
  cudaEventDestroy(began);
  cudaEventDestroy(ended);
  std::nth_element(speeds.begin(), speeds.begin() + kRuns / 2, speeds.end());
  return speeds[kRuns / 2];
}

void delay(double seconds, cudaStream_t stream) {
  wait_for<<<1, 1, 0, stream>>>(static_cast<uint64_t>(seconds * 1e9));
  check_launch("delay");
}

bool has_code_for_device() {
  cudaFuncAttributes attributes;
  const bool found = cudaFuncGetAttributes(&attributes, read_all) == cudaSuccess;
  (void)cudaGetLastError();
  return found;
}

}  // namespace g4::cuda

// Launches of resident kernels, and which formats have one.
#include <algorithm>

#include "backends/cuda/resident_kernel.cuh"

namespace g4::cuda {
namespace {

struct ResidentKernelOf {
  ResidentKernel kernel = nullptr;
  int slot_bytes = 0;
};

ResidentKernelOf kernel_of(DType weights) {
  switch (weights) {
    case DType::Q4_0:
      return {resident_kernel<DType::Q4_0>, kResidentSlotBytes<DType::Q4_0>};
    case DType::BF16:
      return {resident_kernel<DType::BF16>, kResidentSlotBytes<DType::BF16>};
    default:
      return {};
  }
}

template <DType kType>
void measure(ResidentJob& job) {
  using F = PhaseFormat<kType>;
  job.items = F::items(job.phase.k);
  job.segment_items = (job.items + kMostSegments - 1) / kMostSegments;
  job.segments = (job.items + job.segment_items - 1) / job.segment_items;
  job.round_tasks = kRoundSegments / (job.segments * job.phase.lines);
  job.step_groups = kPhaseWarps / job.segments;
  job.step_segments = kPhaseWarps - job.step_groups * job.segments;
}

}  // namespace

bool resident_takes(DType weights) { return kernel_of(weights).kernel != nullptr; }
int resident_slot_bytes(DType weights) { return kernel_of(weights).slot_bytes; }

int resident_attention_bytes(int64_t head_size) {
  switch (head_size) {
    case 128:
      return kResidentAttentionBytes<128>;
    case 256:
      return kResidentAttentionBytes<256>;
    case 512:
      return kResidentAttentionBytes<512>;
    default:
      return 0;
  }
}
int64_t resident_row_bytes(DType weights, int cols) {
  return weights == DType::BF16 ? PhaseFormat<DType::BF16>::x_bytes(cols) : PhaseFormat<DType::Q4_0>::x_bytes(cols);
}
int resident_partial_bytes() { return kRoundSegments * static_cast<int>(kPanelRows) * 4; }

void measure_resident(ResidentJob& job, DType weights) {
  if (job.rows_format || weights == DType::BF16)
    measure<DType::BF16>(job);
  else
    measure<DType::Q4_0>(job);
}

void launch_resident(const ResidentCall& call, DType weights, const DeviceLimits& limits, cudaStream_t stream) {
  const ResidentKernel kernel = kernel_of(weights).kernel;
  allow_shared(reinterpret_cast<const void*>(kernel), call.layout.bytes, "a resident step");
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeCooperative;  // all blocks at once, or none: they wait for each other
  attribute.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(limits.multiprocessors));
  config.blockDim = dim3(kPhaseThreads);
  config.dynamicSmemBytes = static_cast<size_t>(call.layout.bytes);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kernel, call), "a resident step");
}

}  // namespace g4::cuda

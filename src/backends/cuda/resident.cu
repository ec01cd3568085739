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
  ResidentTurns& t = job.turns;
  t.items = F::items(job.phase.k);
  t.segment_items = (t.items + kMostSegments - 1) / kMostSegments;
  t.segments = (t.items + t.segment_items - 1) / t.segment_items;
  t.step_groups = kPhaseWarps / t.segments;
  t.step_segments = kPhaseWarps - t.step_groups * t.segments;
  job.round_tasks = kRoundSegments / (t.segments * job.phase.lines);
  job.staged_bytes = 0;
  for (int s = 0; s < job.phase.steps; ++s) {
    const PhaseStep& step = job.phase.step[s];
    if (step.weight) job.staged_bytes += job.phase.cols * 4;
    if (staged_row(step)) job.staged_bytes += job.phase.cols * static_cast<int>(element_bytes(step.other_type));
  }
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
  config.blockDim = dim3(kResidentThreads);
  config.dynamicSmemBytes = static_cast<size_t>(call.layout.bytes);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kernel, call), "a resident step");
}

}  // namespace g4::cuda

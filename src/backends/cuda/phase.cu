// Launches of phases: what lies where in shared memory, and which kernel takes which format.
#include <algorithm>

#include "backends/cuda/phase_kernel.cuh"

namespace g4::cuda {
namespace {

constexpr int64_t kMostRowWeights = 1 << 20;  // rows_product.cu streams more than these faster

bool is_rows(DType weights) { return weights == DType::BF16 || weights == DType::F16 || weights == DType::F32; }

int64_t x_bytes_of(DType weights, int cols) {
  return is_rows(weights) ? int64_t{cols} * 4 : int64_t{cols} / kActBlock * kRecord * 16;
}

int align16(int64_t bytes) { return static_cast<int>((bytes + 15) / 16 * 16); }

// Whether Bf16Row does such a step.
bool bf16_step(const PhaseStep& step) {
  if (step.type != DType::BF16) return false;
  if (step.op == PhaseStep::Op::AddNorm) return step.inner == DType::BF16;
  if (step.op == PhaseStep::Op::Add) return !step.constant && !step.one_number;
  if (step.op == PhaseStep::Op::Mul) return step.constant && step.other_type == DType::F32;
  return true;
}

// Where the operands of the row's steps are copied to; returns the bytes they take.
int place_operands(PhaseJob& job) {
  int at = 0;
  if (!job.steps) return 0;
  const auto place = [&](int64_t bytes) {
    const int here = at;
    at += align16(bytes);
    return here;
  };
  job.all_bf16 = true;
  const auto operand = [&](const std::byte* data, DType type) {
    job.operand[job.operands] = data;
    job.operand_type[job.operands] = type;
    job.all_bf16 = job.all_bf16 && type == DType::BF16;
    return job.operand_at[job.operands++] = place(job.cols * element_bytes(type));
  };
  job.operands = 0;
  operand(job.x, job.x_type);
  for (int s = 0; s < job.steps; ++s) {
    PhaseStep& step = job.step[s];
    job.all_bf16 = job.all_bf16 && bf16_step(step);
    if (step.weight) step.weight_at = place(int64_t{job.cols} * 4);
    if (!step.other) continue;
    if (!step.constant)
      step.other_at = operand(step.other, step.other_type);
    else if (!step.one_number)
      step.other_at = place(job.cols * element_bytes(step.other_type));
  }
  return at;
}

int64_t lay_out(PhaseCall& call) {
  int64_t most = 0;
  for (int j = 0; j < call.jobs; ++j) {
    PhaseJob& job = call.job[j];
    job.slots_at = align16(x_bytes_of(call.weights[j], job.cols));
    job.rest_at = job.slots_at + phase_kernel_of(call.weights[j]).slot_bytes;
    most = std::max<int64_t>(
        most,
        job.rest_at + std::max<int64_t>(kRoundSegments * phase_group_rows(call.weights[j]) * 4, place_operands(job)));
  }
  return most;
}

}  // namespace

int phase_group_rows(DType weights) { return is_rows(weights) ? 4 : static_cast<int>(kPanelRows); }

PhaseKernelOf phase_kernel_of(DType weights) {
  for (const auto find :
       {phase_kernel_simple, phase_kernel_five, phase_kernel_levels, phase_kernel_k, phase_kernel_rows})
    if (const PhaseKernelOf found = find(weights); found.kernel) return found;
  return {};
}

bool phase_takes(DType weights, bool panels, int64_t n, int64_t k) {
  return panels ? panel_fields(weights).count > 0 : is_rows(weights) && n * k <= kMostRowWeights;
}

bool phase_fits(const PhaseCall& call, const DeviceLimits& limits) {
  for (int j = 0; j < call.jobs; ++j) {
    int others = 1;
    for (int s = 0; s < call.job[j].steps; ++s) {
      const PhaseStep& step = call.job[j].step[s];
      if (step.one_number && !step.constant) return false;
      others += step.other && !step.constant;
    }
    const int most = kPhasePieces * kPhaseThreads * kPiece;
    if (others > PhaseJob::kMostOperands || (call.job[j].steps && call.job[j].cols > most)) return false;
  }
  PhaseCall copy = call;
  return lay_out(copy) + 8192 <= limits.shared_bytes;
}

void launch_phase(const PhaseCall& call, const DeviceLimits& limits, cudaStream_t stream) {
  PhaseCall ready = call;
  const int64_t shared = lay_out(ready);
  const int blocks = ready.job[0].blocks + (ready.jobs > 1 ? ready.job[1].blocks : 0);
  const PhaseKernel kernel = phase_kernel_of(ready.weights[0]).kernel;
  // All kernels of a step split the multiprocessor's memory alike: else each would wait until its neighbour is gone.
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributePreferredSharedMemoryCarveout,
                             cudaSharedmemCarveoutMaxShared),
        "a phase of a decode step");
  launch_overlapped(kernel, limits.architecture, static_cast<unsigned>(blocks), kPhaseThreads, shared, stream,
                    "a phase of a decode step", ready);
}

}  // namespace g4::cuda

// rope: see ops/rope.h. One row is one head of one token, which shares its angles with the other heads.
#include "ops/rope.h"

#include "backends/cpu/kernels/halves.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[1].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 4); }

// One part of a head; `direct` and `crossed`, n floats each, lie side by side.
static void turn(const float* values, const float* table, int64_t n, DType inner, float* direct, float* crossed) {
  const int64_t half = n / 2;
  const float *cosines = table, *sines = table + half;
  for (int64_t i = 0; i < half; ++i) {
    direct[i] = values[i] * cosines[i];
    direct[half + i] = values[half + i] * cosines[i];
    crossed[i] = -(values[half + i] * sines[i]);
    crossed[half + i] = values[i] * sines[i];
  }
  round_floats(direct, inner, 2 * n);
  for (int64_t i = 0; i < n; ++i) direct[i] += crossed[i];
}

// The same for halves of whole vectors, bfloat16 in, inside and out.
static void turn_halves(const std::byte* values, const float* table, int64_t n, std::byte* out) {
  const int64_t half = n / 2;
  for (int64_t i = 0; i < half; i += kLanes) {
    const Vec cosine = load(table + i), sine = load(table + half + i);
    const Vec a = read_halves(values + i * 2), b = read_halves(values + (half + i) * 2);
    write_halves(out + i * 2, round_halves(a * cosine) - round_halves(b * sine));
    write_halves(out + (half + i) * 2, round_halves(b * cosine) + round_halves(a * sine));
  }
}

// A task takes tokens, whose angles are decoded once.
static void launch_halves(const CpuCall& call, int64_t parts) {
  const KernelTensor &x = call.in[0], &table = call.in[1], &out = call.out[0];
  const int64_t n = out.cols, heads = out.dim[1], part = n / parts;
  parallel_rows(call, out.rows / heads, heads * n, [&](int64_t t, int thread) {
    float* buffer = reinterpret_cast<float*>(call.scratch) + thread * 4 * n;
    for (int64_t p = 0; p < parts; ++p) {
      const float* angles = floats_of(table, t * parts + p, buffer);
      for (int64_t r = t * heads; r < (t + 1) * heads; ++r)
        turn_halves(x.row(r) + p * part * 2, angles, part, out.row(r) + p * part * 2);
    }
  });
}

static void launch(const CpuCall& call) {
  const DType inner = static_cast<const RopeParams*>(call.params)->inner;
  const KernelTensor &x = call.in[0], &table = call.in[1], &out = call.out[0];
  const int64_t n = out.cols, heads = out.dim[1], parts = table.rank == 3 ? table.dim[1] : 1, part = n / parts;
  if (x.dtype == DType::BF16 && inner == DType::BF16 && out.dtype == DType::BF16 && part % (2 * kLanes) == 0)
    return launch_halves(call, parts);
  for_rows(call, out.rows, n, 4, [&](int64_t r, float* buffer) {
    float* turned = buffer + n;  // a part's results, where its products were
    const float* values = floats_of(x, r, buffer);
    for (int64_t p = 0; p < parts; ++p) {
      const float* angles = floats_of(table, r / heads * parts + p, buffer + 3 * n);
      turn(values + p * part, angles, part, inner, turned + p * part, turned + (p + 1) * part);
    }
    store_floats(turned, out.row(r), out.dtype, n);
  });
}

extern const CpuKernel rope_kernel;
const CpuKernel rope_kernel{"rope", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE

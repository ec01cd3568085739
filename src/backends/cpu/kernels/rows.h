// Rows of activations to float32 and back. Storing rounds to nearest even; a float16 store applies f16 mode's last
// guard (inf and NaN become 0, magnitudes are held to 65280: model/numerics.h).
#pragma once

#include "backends/cpu/kernels/simd.h"
#include "tensor/dtype.h"
#include "tensor/quant/half_isa.h"

namespace g4::G4_ISA_NAMESPACE {

static G4_INLINE int64_t element_bytes(DType dtype) { return dtype == DType::F32 || dtype == DType::I32 ? 4 : 2; }
static G4_INLINE bool is_activation(DType dtype) {
  return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16;
}
// Element `column` of a row of activations.
static G4_INLINE std::byte* element(const KernelTensor& t, int64_t row, int64_t column) {
  return t.row(row) + column * element_bytes(t.dtype);
}

static inline uint16_t f32_to_bf16(float x) {
  const uint32_t u = __builtin_bit_cast(uint32_t, x);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? ((u >> 16) | 0x40u) : rounded);
}

// Finite, already guarded input. Subnormals: adding 0.5 aligns the mantissa and rounds it.
static inline uint16_t f32_to_f16(float x) {
  const uint32_t u = __builtin_bit_cast(uint32_t, x);
  const uint32_t magnitude = u & 0x7fffffffu;
  const uint32_t subnormal = __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  return static_cast<uint16_t>(((u >> 16) & 0x8000u) | (magnitude < 0x38800000u ? subnormal : normal));
}

static inline float guard_f16(float x) {
  const float limit = 65280.0f;
  const float magnitude = __builtin_fabsf(x);
  const float held = magnitude > limit ? __builtin_copysignf(limit, x) : x;
  return magnitude < __builtin_inff() ? held : 0.0f;
}

// tensor/quant/decode.h's decoder of rows, or nullptr: see there. Compiled in weight_product.cpp alone.
using WeightDecoder = void (*)(const std::byte* source, float* target, int64_t elements);
WeightDecoder weight_decoder(DType dtype);

static inline void load_floats(const std::byte* source, DType dtype, float* target, int64_t n) {
  weight_decoder(dtype)(source, target, n);
}

static inline void store_floats(const float* __restrict source, std::byte* target, DType dtype, int64_t n) {
  if (dtype == DType::F32) {
    __builtin_memcpy(target, source, static_cast<size_t>(n) * 4);
    return;
  }
  auto* __restrict out = reinterpret_cast<uint16_t*>(target);
  if (dtype == DType::BF16)
    for (int64_t i = 0; i < n; ++i) out[i] = f32_to_bf16(source[i]);
  else
    for (int64_t i = 0; i < n; ++i) out[i] = f32_to_f16(guard_f16(source[i]));
}

// Rounds in place to what `dtype` can hold: an inner rounding point of a fused operation.
static inline void round_floats(float* x, DType dtype, int64_t n) {
  if (dtype == DType::BF16)
    for (int64_t i = 0; i < n; ++i) x[i] = bf16_to_f32(f32_to_bf16(x[i]));
  else if (dtype == DType::F16)
    for (int64_t i = 0; i < n; ++i) x[i] = f16_to_f32(f32_to_f16(guard_f16(x[i])));
}

// The row as float32: in place when it already is, else decoded into `buffer`.
static G4_INLINE const float* floats_of(const KernelTensor& t, int64_t r, float* buffer) {
  const std::byte* row = t.row(r);
  if (t.dtype == DType::F32) return reinterpret_cast<const float*>(row);
  load_floats(row, t.dtype, buffer, t.cols);
  return buffer;
}

// Rows a task takes so that it moves about 16 KiB of float32: enough to hide the hand-out, little enough to balance.
static G4_INLINE int64_t rows_per_task(int64_t cols) {
  const int64_t rows = 4096 / (cols > 0 ? cols : 1);
  return rows > 0 ? rows : 1;
}

// Calls body(row, thread) for all rows of `cols` elements, in parallel.
template <class Body>
static G4_INLINE void parallel_rows(const CpuCall& call, int64_t rows, int64_t cols, const Body& body) {
  const int64_t step = rows_per_task(cols);
  parallel_for(*call.team, (rows + step - 1) / step, [&](int64_t task, int thread) {
    const int64_t end = (task + 1) * step < rows ? (task + 1) * step : rows;
    for (int64_t r = task * step; r < end; ++r) body(r, thread);
  });
}

// The same with scratch of the thread, `slots` rows of floats.
template <class Body>
static G4_INLINE void for_rows(const CpuCall& call, int64_t rows, int64_t cols, int64_t slots, const Body& body) {
  parallel_rows(call, rows, cols, [&](int64_t r, int thread) {
    body(r, reinterpret_cast<float*>(call.scratch) + thread * slots * cols);
  });
}
static G4_INLINE int64_t row_scratch(const CpuCall& call, int64_t cols, int64_t slots) {
  return call.team->size * slots * cols * 4;
}

// Rows in pieces of at most kPieceColumns columns, for what treats every element alike: body(row, first column,
// columns, scratch of the thread, `slots` pieces of floats). One long row spreads over the threads too.
inline constexpr int64_t kPieceColumns = 4096;
template <class Body>
static G4_INLINE void for_pieces(const CpuCall& call, int64_t rows, int64_t cols, int64_t slots, const Body& body) {
  const int64_t most = cols < kPieceColumns ? cols : kPieceColumns;
  const int64_t pieces = (cols + kPieceColumns - 1) / kPieceColumns;
  parallel_rows(call, rows * pieces, most, [&](int64_t i, int thread) {
    const int64_t begin = i % pieces * kPieceColumns;
    body(i / pieces, begin, cols - begin < kPieceColumns ? cols - begin : kPieceColumns,
         reinterpret_cast<float*>(call.scratch) + thread * slots * most);
  });
}
static G4_INLINE int64_t piece_scratch(const CpuCall& call, int64_t cols, int64_t slots) {
  return row_scratch(call, cols < kPieceColumns ? cols : kPieceColumns, slots);
}

}  // namespace g4::G4_ISA_NAMESPACE

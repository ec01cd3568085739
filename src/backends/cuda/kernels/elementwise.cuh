// Elementwise operations of one or two tensors: out = round(f(a)) or round(f(a, b)); b has a's shape, or is one row, or
// one number (ops/validate.h). f is a functor of plain data that runs on the device.
#pragma once

#include "backends/cuda/kernels/rows.cuh"

namespace g4::cuda {

template <int N, class F>
__global__ void __launch_bounds__(kThreads)
    unary_kernel(const __grid_constant__ KernelTensor a, const __grid_constant__ KernelTensor out, int64_t parts, F f) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * parts) return;
  const Place at = place_of(index, parts);
  float x[N];
  load_piece(a.row(at.row), a.dtype, at.part * N, x);
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = f(x[i]);
  store_piece(out.row(at.row), out.dtype, at.part * N, x);
}

template <int N, class F>
__global__ void __launch_bounds__(kThreads)
    binary_kernel(const __grid_constant__ KernelTensor a, const __grid_constant__ KernelTensor b, bool one_number,
                  const __grid_constant__ KernelTensor out, int64_t parts, F f) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * parts) return;
  const Place at = place_of(index, parts);
  float x[N], y[N];
  load_piece(a.row(at.row), a.dtype, at.part * N, x);
  if (one_number) {
    const float number = load(b.data, b.dtype, 0);
#pragma unroll
    for (int i = 0; i < N; ++i) y[i] = number;
  } else {
    load_piece(b.row(at.row), b.dtype, at.part * N, y);
  }
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = f(x[i], y[i]);
  store_piece(out.row(at.row), out.dtype, at.part * N, x);
}

// The same where all three lie in one piece and have one type, as a step's do: less code is fetched sooner.
template <DType kType, class F>
__global__ void __launch_bounds__(kThreads)
    flat_kernel(const std::byte* a, const std::byte* b, std::byte* out, int64_t parts, F f) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= parts) return;
  float x[kPiece], y[kPiece];
  load_piece(a, kType, index * kPiece, x);
  load_piece(b, kType, index * kPiece, y);
#pragma unroll
  for (int i = 0; i < kPiece; ++i) x[i] = f(x[i], y[i]);
  store_piece(out, kType, index * kPiece, x);
}

inline bool in_one_piece(const KernelTensor& t) {
  return t.rows == 1 || t.row_stride == t.cols * element_bytes(t.dtype);
}

inline bool unary_supports(const Call& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}
inline bool binary_supports(const Call& call) { return unary_supports(call) && is_activation(call.in[1].dtype); }

template <class F>
void unary_launch(const Call& call, const F& f, const char* name) {
  const KernelTensor &a = call.in[0], &out = call.out[0];
  const bool wide = whole_pieces(out.cols, {&a, &out});
  const int64_t parts = wide ? out.cols / kPiece : out.cols;
  launch_items(call, wide ? unary_kernel<kPiece, F> : unary_kernel<1, F>, out.rows * parts, name, a, out, parts, f);
}

template <class F>
void binary_launch(const Call& call, const F& f, const char* name) {
  const KernelTensor &a = call.in[0], &b = call.in[1], &out = call.out[0];
  const bool one_number = b.rank == 1 && b.cols == 1 && out.cols != 1;  // one row has row_stride 0
  const bool wide = one_number ? whole_pieces(out.cols, {&a, &out}) : whole_pieces(out.cols, {&a, &b, &out});
  const int64_t parts = wide ? out.cols / kPiece : out.cols;
  const bool same = a.dtype == out.dtype && b.dtype == out.dtype && b.rows == out.rows && b.cols == out.cols;
  if (wide && !one_number && same && out.dtype != DType::F16 && in_one_piece(a) && in_one_piece(b) && in_one_piece(out))
    return launch_items(call, out.dtype == DType::BF16 ? flat_kernel<DType::BF16, F> : flat_kernel<DType::F32, F>,
                        out.rows * parts, name, a.data, b.data, out.data, out.rows * parts, f);
  launch_items(call, wide ? binary_kernel<kPiece, F> : binary_kernel<1, F>, out.rows * parts, name, a, b, one_number,
               out, parts, f);
}

// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u) with u = sqrt(2/pi) (x + 0.044715 x^3): no cancellation anywhere.
__device__ __forceinline__ float tanh_gelu(float x) {
  const float u2 = x * fmaf(x * x, 2 * 0.7978845608f * 0.044715f, 2 * 0.7978845608f);
  return x / (1.0f + expf(-u2));
}

}  // namespace g4::cuda

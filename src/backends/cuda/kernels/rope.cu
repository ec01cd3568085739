// rope: see ops/rope.h. A thread turns one piece of the first half of a head, or of a part of it, together with its
// partner in the second.
#include "backends/cuda/kernels/rows.cuh"
#include "ops/rope.h"

namespace g4::cuda {

namespace {

template <int N>
__global__ void __launch_bounds__(kThreads)
    rope_kernel_of(const __grid_constant__ KernelTensor x, const __grid_constant__ KernelTensor table,
                   const __grid_constant__ KernelTensor out, DType inner, int64_t turns, int64_t parts) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * turns * parts) return;
  const Place piece = place_of(index, parts);
  const Place at = turns == 1 ? Place{piece.row, 0} : place_of(piece.row, turns);  // the head and its part
  const int64_t half = table.cols / 2, cosines = piece.part * N, sines = half + cosines;
  const int64_t low = at.part * table.cols + cosines, high = low + half;
  const std::byte* from = x.row(at.row);
  const std::byte* turn = table.row(place_of(at.row, out.dim[1]).row * turns + at.part);
  float a[N], b[N], cosine[N], sine[N];
  load_piece(from, x.dtype, low, a);
  load_piece(from, x.dtype, high, b);
  load_piece(turn, table.dtype, cosines, cosine);
  load_piece(turn, table.dtype, sines, sine);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const float first = __fsub_rn(rounded(inner, __fmul_rn(a[i], cosine[i])), rounded(inner, __fmul_rn(b[i], sine[i])));
    b[i] = __fadd_rn(rounded(inner, __fmul_rn(b[i], cosine[i])), rounded(inner, __fmul_rn(a[i], sine[i])));
    a[i] = first;
  }
  std::byte* to = out.row(at.row);
  store_piece(to, out.dtype, low, a);
  store_piece(to, out.dtype, high, b);
}

bool supports(const Call& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[1].dtype) && is_activation(call.out[0].dtype);
}

void launch(const Call& call) {
  const KernelTensor &x = call.in[0], &table = call.in[1], &out = call.out[0];
  const DType inner = static_cast<const RopeParams*>(call.params)->inner;
  const int64_t half = table.cols / 2, turns = table.rank == 3 ? table.dim[1] : 1;
  const bool wide = whole_pieces(half, {&x, &table, &out});
  const int64_t parts = wide ? half / kPiece : half;
  launch_items(call, wide ? rope_kernel_of<kPiece> : rope_kernel_of<1>, out.rows * turns * parts, "rope", x, table, out,
               inner, turns, parts);
}

}  // namespace

extern const Kernel rope_kernel;
const Kernel rope_kernel{"rope", supports, nullptr, launch};

}  // namespace g4::cuda

// kv_write: see ops/kv_write.h. A thread stores one piece of a head's key and the same piece of its value.
#include "backends/cuda/kernels/rows.cuh"

namespace g4::cuda {

namespace {

struct Stores {
  KernelTensor k, v, k_cache, v_cache;
  const int32_t* positions;
};

template <int N>
__global__ void __launch_bounds__(kThreads) kv_write_kernel_of(const __grid_constant__ Stores s, int64_t parts) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= s.k.rows * parts) return;
  const Place at = place_of(index, parts);
  const int64_t heads = s.k.dim[1];
  const Place head = place_of(at.row, heads);  // token, head
  const int64_t slot = s.positions[head.row] % s.k_cache.dim[0];
  const int64_t row = slot * heads + head.part;
  float x[N];
  load_piece(s.k.row(at.row), s.k.dtype, at.part * N, x);
  store_piece(s.k_cache.row(row), s.k_cache.dtype, at.part * N, x);
  load_piece(s.v.row(at.row), s.v.dtype, at.part * N, x);
  store_piece(s.v_cache.row(row), s.v_cache.dtype, at.part * N, x);
}

bool supports(const Call& call) {
  for (int i = 0; i < 4; ++i)
    if (!is_activation(call.in[i].dtype)) return false;
  return call.in[2].dtype == call.in[3].dtype;
}

void launch(const Call& call) {
  const Stores s{call.in[0], call.in[1], call.in[2], call.in[3], reinterpret_cast<const int32_t*>(call.in[4].data)};
  const bool wide = whole_pieces(s.k.cols, {&s.k, &s.v, &s.k_cache, &s.v_cache});
  const int64_t parts = wide ? s.k.cols / kPiece : s.k.cols;
  launch_items(call, wide ? kv_write_kernel_of<kPiece> : kv_write_kernel_of<1>, s.k.rows * parts, "kv_write", s, parts);
}

}  // namespace

extern const Kernel kv_write_kernel;
const Kernel kv_write_kernel{"kv_write", supports, nullptr, launch};

}  // namespace g4::cuda

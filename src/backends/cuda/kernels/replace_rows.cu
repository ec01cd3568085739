// replace_rows: see ops/replace_rows.h. Rows that stay are copied as they are.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

template <int N>
__device__ __forceinline__ void copy_piece(const std::byte* from, std::byte* to, DType dtype, int64_t column) {
  if constexpr (N == 1) {
    if (element_bytes(dtype) == 4)
      reinterpret_cast<uint32_t*>(to)[column] = reinterpret_cast<const uint32_t*>(from)[column];
    else
      reinterpret_cast<uint16_t*>(to)[column] = reinterpret_cast<const uint16_t*>(from)[column];
  } else {
    const int64_t at = column * element_bytes(dtype);
    *reinterpret_cast<uint4*>(to + at) = *reinterpret_cast<const uint4*>(from + at);
    if (element_bytes(dtype) == 4)
      *reinterpret_cast<uint4*>(to + at + 16) = *reinterpret_cast<const uint4*>(from + at + 16);
  }
}

template <int N>
__global__ void __launch_bounds__(kThreads)
    replace_rows_kernel_of(const __grid_constant__ KernelTensor x, const __grid_constant__ KernelTensor rows,
                           const int32_t* replacements, const __grid_constant__ KernelTensor out, int64_t parts) {
  take_turn();
  const int64_t index = thread_index();
  if (index >= out.rows * parts) return;
  const Place at = place_of(index, parts);
  const int32_t replacement = replacements[at.row];
  if (replacement < 0) return copy_piece<N>(x.row(at.row), out.row(at.row), out.dtype, at.part * N);
  float values[N];
  load_piece(rows.row(replacement), rows.dtype, at.part * N, values);
  store_piece(out.row(at.row), out.dtype, at.part * N, values);
}

bool supports(const Call& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[1].dtype) && call.out[0].dtype == call.in[0].dtype;
}

void launch(const Call& call) {
  const KernelTensor &x = call.in[0], &rows = call.in[1], &out = call.out[0];
  const bool wide = whole_pieces(out.cols, {&x, &rows, &out});
  const int64_t parts = wide ? out.cols / kPiece : out.cols;
  launch_items(call, wide ? replace_rows_kernel_of<kPiece> : replace_rows_kernel_of<1>, out.rows * parts,
               "replace_rows", x, rows, reinterpret_cast<const int32_t*>(call.in[2].data), out, parts);
}

}  // namespace

extern const Kernel replace_rows_kernel;
const Kernel replace_rows_kernel{"replace_rows", supports, nullptr, launch};

}  // namespace g4::cuda

#include "backends/cpu/kernels/weight_product.h"

#include "backends/cpu/kernels/streamed_dot.h"

namespace g4::G4_ISA_NAMESPACE {

WeightDecoder weight_decoder(DType dtype) { return row_decoder(dtype); }

template <int kRows, int kCols>
static void streamed_tile(WeightDecoder decode, const KernelTensor& format, const std::byte* w, int64_t w_stride,
                          const float* const* x, float* out, int64_t out_stride, float* scratch) {
  const int64_t k = format.cols;
  Vec acc[kRows * kCols] = {};
  int64_t done = 0;
  for (; done < k; done += kPiece) {
    const int64_t n = k - done < kPiece ? k - done : kPiece;
    for (int r = 0; r < kRows; ++r)
      decode(w + r * w_stride + done / format.block_size * format.block_bytes, scratch + r * kPiece, n);
    accumulate<kRows, kCols>(scratch, kPiece, x, done, n / kLanes * kLanes, acc);
  }
  // A tail exists only in the last piece, because kPiece is a multiple of kLanes.
  const int64_t last = (k - 1) / kPiece * kPiece;
  for (int c = 0; c < kCols; ++c)
    for (int r = 0; r < kRows; ++r)
      out[c * out_stride + r] = finish(acc[r * kCols + c], scratch + r * kPiece, x[c] + last, k - last);
}

void weight_product(const KernelTensor& w, const std::byte* first_row, int64_t w_stride, int64_t rows,
                    const float* const* x, int64_t columns, float* out, int64_t out_stride, float* scratch) {
  const WeightDecoder decode = weight_decoder(w.dtype);
  const int64_t k = w.cols;
  if (columns < kStreamedColumns) {
    if (const StreamedDot dot = streamed_dot_of(w.dtype)) {
      for (int64_t c = 0; c < columns; ++c) dot(first_row, w_stride, rows, k, x[c], out + c * out_stride);
      return;
    }
    for (int64_t c = 0; c < columns; ++c) {
      int64_t r = 0;
      for (; r + kTileRows <= rows; r += kTileRows)
        streamed_tile<kTileRows, 1>(decode, w, first_row + r * w_stride, w_stride, x + c, out + c * out_stride + r,
                                    out_stride, scratch);
      for (; r < rows; ++r)
        streamed_tile<1, 1>(decode, w, first_row + r * w_stride, w_stride, x + c, out + c * out_stride + r, out_stride,
                            scratch);
    }
    return;
  }
  for (int64_t r = 0; r < rows; ++r) decode(first_row + r * w_stride, scratch + r * k, k);
  dot_all(scratch, k, rows, x, columns, k, out, out_stride);
}

}  // namespace g4::G4_ISA_NAMESPACE

// Dot products of kRows x kCols pairs of float32 vectors at once, the core of every product here.
//
// Each pair has one vector accumulator that walks k in steps of kLanes, a fixed-order fold at the end and a scalar
// tail. A pair's result therefore does not depend on the tile it is computed in: a token gets the same bits alone, in a
// prefill chunk of any size, and on any number of threads.
#pragma once

#include "backends/cpu/kernels/simd.h"

namespace g4::G4_ISA_NAMESPACE {

// acc[r * kCols + c] += lanes of a[r][0..n) * b[c][0..n); n is a multiple of kLanes.
template <int kRows, int kCols>
static G4_INLINE void accumulate(const float* a, int64_t a_stride, const float* const* b, int64_t b_offset, int64_t n,
                                 Vec* acc) {
  Vec sum[kRows * kCols];
  for (int i = 0; i < kRows * kCols; ++i) sum[i] = acc[i];
  const float* columns[kCols];
  for (int c = 0; c < kCols; ++c) columns[c] = b[c] + b_offset;
  for (int64_t i = 0; i < n; i += kLanes) {
    Vec x[kCols];
    for (int c = 0; c < kCols; ++c) x[c] = load(columns[c] + i);
    for (int r = 0; r < kRows; ++r) {
      const Vec w = load(a + r * a_stride + i);
      for (int c = 0; c < kCols; ++c) sum[r * kCols + c] = fma(w, x[c], sum[r * kCols + c]);
    }
  }
  for (int i = 0; i < kRows * kCols; ++i) acc[i] = sum[i];
}

// Folds an accumulator and adds the products of the last n % kLanes elements.
static G4_INLINE float finish(Vec acc, const float* a, const float* b, int64_t n) {
  float sum = reduce_add(acc);
  for (int64_t i = n / kLanes * kLanes; i < n; ++i) sum = fma(a[i], b[i], sum);
  return sum;
}

// out[c * out_stride + r] = dot(a row r, b[c]) over n elements.
template <int kRows, int kCols>
static void dot_tile(const float* a, int64_t a_stride, const float* const* b, int64_t n, float* out,
                     int64_t out_stride) {
  Vec acc[kRows * kCols] = {};
  accumulate<kRows, kCols>(a, a_stride, b, 0, n / kLanes * kLanes, acc);
  for (int c = 0; c < kCols; ++c)
    for (int r = 0; r < kRows; ++r) out[c * out_stride + r] = finish(acc[r * kCols + c], a + r * a_stride, b[c], n);
}

template <int kRows, int kCols>
static void dot_columns(int n_cols, const float* a, int64_t a_stride, const float* const* b, int64_t n, float* out,
                        int64_t out_stride) {
  if constexpr (kCols > 1) {
    if (n_cols < kCols) return dot_columns<kRows, kCols - 1>(n_cols, a, a_stride, b, n, out, out_stride);
  }
  dot_tile<kRows, kCols>(a, a_stride, b, n, out, out_stride);
}

// All pairs of `rows` rows of a and `cols` vectors b: out[c * out_stride + r].
static inline void dot_all(const float* a, int64_t a_stride, int64_t rows, const float* const* b, int64_t cols,
                           int64_t n, float* out, int64_t out_stride) {
  for (int64_t c = 0; c < cols; c += kTileCols) {
    const int n_cols = static_cast<int>(cols - c < kTileCols ? cols - c : kTileCols);
    int64_t r = 0;
    for (; r + kTileRows <= rows; r += kTileRows)
      dot_columns<kTileRows, kTileCols>(n_cols, a + r * a_stride, a_stride, b + c, n, out + c * out_stride + r,
                                        out_stride);
    for (; r < rows; ++r)
      dot_columns<1, kTileCols>(n_cols, a + r * a_stride, a_stride, b + c, n, out + c * out_stride + r, out_stride);
  }
}

}  // namespace g4::G4_ISA_NAMESPACE

// A few rows of a block format times one activation: decode's inner loop. Blocks are decoded in registers (small ones)
// or a piece of the first-level cache and multiplied at once; the order of sums is dot_tile.h's, so prefill gives the
// same bits from its decoded rows.
#pragma once

#include "backends/cpu/kernels/dot_tile.h"
#include "tensor/quant/decode.h"

namespace g4::G4_ISA_NAMESPACE {

// out[r] = row r of w . x over k elements (a multiple of the block size) for r in [0, rows).
using StreamedDot = void (*)(const std::byte* w, int64_t w_stride, int64_t rows, int64_t k, const float* x, float* out);

// Bytes ahead of the row being read that are asked for: a few hundred nanoseconds of one core's reading.
inline constexpr int64_t kPrefetchBytes = 4096;

template <DType kType, int kRows>
static G4_INLINE void streamed_rows(const std::byte* w, int64_t w_stride, int64_t k, const float* x, float* out) {
  using Decoder = BlockDecoder<kType>;
  constexpr int64_t kElements = Decoder::kElements;
  constexpr int64_t kBytes = sizeof(typename Decoder::Block);
  Vec acc[kRows] = {};
  for (int64_t b = 0; b < k / kElements; ++b) {
    for (int r = 0; r < kRows; ++r) {
      const std::byte* block = w + r * w_stride + b * kBytes;
      __builtin_prefetch(block + kPrefetchBytes);
      float decoded[kElements];
      Decoder::decode(reinterpret_cast<const typename Decoder::Block*>(block), decoded);
      for (int64_t i = 0; i < kElements; i += kLanes)
        acc[r] = fma(load(decoded + i), load(x + b * kElements + i), acc[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) out[r] = reduce_add(acc[r]);
}

template <DType kType>
static void streamed_dot(const std::byte* w, int64_t w_stride, int64_t rows, int64_t k, const float* x, float* out) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) streamed_rows<kType, 4>(w + r * w_stride, w_stride, k, x, out + r);
  for (; r < rows; ++r) streamed_rows<kType, 1>(w + r * w_stride, w_stride, k, x, out + r);
}

struct StreamedDotEntry {
  DType dtype;
  StreamedDot dot;
};

template <DType... kTypes>
struct StreamedDotTable {
  static constexpr StreamedDotEntry kEntries[] = {{kTypes, streamed_dot<kTypes>}...};
};

using AllStreamedDots =
    StreamedDotTable<DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q2_K, DType::Q3_K,
                     DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS, DType::MXFP4>;

// nullptr for formats without blocks.
static inline StreamedDot streamed_dot_of(DType dtype) {
  for (const StreamedDotEntry& entry : AllStreamedDots::kEntries)
    if (entry.dtype == dtype) return entry.dot;
  return nullptr;
}

}  // namespace g4::G4_ISA_NAMESPACE

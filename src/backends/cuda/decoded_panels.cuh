// Panels back to rows of 16-bit floats: each weight decoded as block_values.cuh does, then rounded once.
//
// A block decodes 16 units of each of a panel's 16 rows, a thread one unit, and passes them through shared memory, so
// that whole rows of columns are stored; chunk c of row r lies at c ^ (r % 8).
#pragma once

#include <utility>

#include "backends/cuda/device_numbers.cuh"
#include "backends/cuda/overlap.h"
#include "backends/cuda/panel_units_k.cuh"

namespace g4::cuda {

struct DecodeCall {
  const std::byte* panels;
  std::byte* out;        // [matrices, n, k] without gaps
  int64_t matrix_bytes;  // from one matrix of panels to the next
  int panels_of_matrix, pieces, k;
};

template <DType kType>
struct DecodeShape {
  static constexpr int kThreads = 256, kUnits = 16;
  static constexpr int kColumns = kUnits * PanelUnit<kType>::kWeights;
  static constexpr int kSharedBytes = 16 * kColumns * 2;
};

template <DType kType, class T>
__global__ void __launch_bounds__(DecodeShape<kType>::kThreads) decode_panels(const DecodeCall c) {
  using S = DecodeShape<kType>;
  using Unit = PanelUnit<kType>;
  __shared__ uint4 shared[S::kSharedBytes / 16];
  constexpr int kChunks = S::kColumns / 8;  // of a row
  const int thread = static_cast<int>(threadIdx.x), row = thread % 16;
  const int panel = static_cast<int>(blockIdx.x) / c.pieces, piece = static_cast<int>(blockIdx.x) - panel * c.pieces;
  const int matrix = panel / c.panels_of_matrix, blocks = c.k / elements_of_block(kType);
  const std::byte* from = c.panels + matrix * c.matrix_bytes +
                          static_cast<int64_t>(panel - matrix * c.panels_of_matrix) * blocks *
                              (bytes_of_block(kType) * static_cast<int>(kPanelRows));
  const int unit = piece * S::kUnits + thread / 16;
  typename Unit::Raw raw{};
  if (unit < c.k / Unit::kWeights) raw = Unit::load(Panel{from, blocks}, unit, row);
  [&]<int... kPart>(std::integer_sequence<int, kPart...>) {
    const auto decode = [&]<int kIndex>() {
      uint32_t codes[Unit::kWords];
      Unit::template codes<kIndex>(raw, unit, codes);
      const float2 values = Unit::template scales<kIndex>(raw, unit);
      const int sixteenth = Unit::sixteenth(unit, kIndex) - piece * (S::kColumns / 16);
      // A byte is the low mantissa bits of a float from 2^23 on; flipping its sign bit adds 128.
      constexpr int kBase = Unit::kOffset + (Unit::kSigned ? 128 : 0);
      const auto weight = [&](uint32_t word, int byte) {
        const uint32_t bits = __byte_perm(word, 0x4b000000u, 0x7540u + static_cast<uint32_t>(byte));
        const float scaled = __fmul_rn(values.x, __fsub_rn(__uint_as_float(bits), 8388608.0f + kBase));
        return Unit::kMinimum ? __fadd_rn(scaled, values.y) : scaled;
      };
#pragma unroll
      for (int chunk = 0; chunk < Unit::kWords / 2; ++chunk) {
        alignas(16) T pieces[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const uint32_t word = codes[chunk * 2 + i / 4] ^ (Unit::kSigned ? 0x80808080u : 0u);
          pieces[i] = round_to<T>(weight(word, i % 4));
        }
        shared[row * kChunks + ((sixteenth * 2 + chunk) ^ (row & 7))] = *reinterpret_cast<const uint4*>(pieces);
      }
    };
    (decode.template operator()<kPart>(), ...);
  }
  (std::make_integer_sequence<int, Unit::kParts>{});
  wait_for_predecessor();
  release_successor();
  __syncthreads();
  std::byte* to = c.out + (static_cast<int64_t>(panel) * kPanelRows * c.k + piece * S::kColumns) * 2;
  const int chunks = min(kChunks, (c.k - piece * S::kColumns) / 8);
#pragma unroll
  for (int i = 0; i < 16 * kChunks / S::kThreads; ++i) {
    const int at = thread + i * S::kThreads, out_row = at / kChunks, chunk = at % kChunks;
    if (chunk < chunks)
      *reinterpret_cast<uint4*>(to + (static_cast<int64_t>(out_row) * c.k + chunk * 8) * 2) =
          shared[out_row * kChunks + (chunk ^ (out_row & 7))];
  }
}

}  // namespace g4::cuda

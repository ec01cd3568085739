// All block decoders, and rows of blocks behind one function type so that a dtype known at run time picks its decoder.
// Kernels that know the format inline BlockDecoder<kType>::decode instead.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/quant/decode_iq.h"
#include "tensor/quant/decode_k.h"
#include "tensor/quant/decode_simple.h"

namespace g4::G4_ISA_NAMESPACE {

// Decodes `elements` values, a multiple of the format's block size.
using RowDecoder = void (*)(const std::byte* source, float* target, int64_t elements);

template <DType kType>
void decode_row(const std::byte* source, float* __restrict target, int64_t elements) {
  using Decoder = BlockDecoder<kType>;
  const auto* blocks = reinterpret_cast<const typename Decoder::Block*>(source);
  for (int64_t i = 0; i < elements / Decoder::kElements; ++i)
    Decoder::decode(blocks + i, target + i * Decoder::kElements);
}

struct RowDecoderEntry {
  DType dtype;
  RowDecoder decode;
};

template <DType... kTypes>
struct RowDecoderTable {
  static constexpr RowDecoderEntry kEntries[] = {{kTypes, decode_row<kTypes>}...};
};

using AllRowDecoders = RowDecoderTable<DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1,
                                       DType::Q5_0, DType::Q5_1, DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K,
                                       DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS, DType::MXFP4>;

// nullptr for a type that holds no weights (I32).
static inline RowDecoder row_decoder(DType dtype) {
  for (const RowDecoderEntry& entry : AllRowDecoders::kEntries)
    if (entry.dtype == dtype) return entry.decode;
  return nullptr;
}

}  // namespace g4::G4_ISA_NAMESPACE

// What the block decoders share: unpacking of bit fields into bytes and scaling of bytes into float32, as counted loops
// the compiler vectorises. Decoding in two such steps keeps the bit work in byte lanes and the arithmetic in one place.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/quant/half_isa.h"

namespace g4::G4_ISA_NAMESPACE {

// Specialised per format: Block, kElements, and decode(block, out) writing kElements floats.
template <DType kType>
struct BlockDecoder;

// out[i] = (in[i] >> kShift) & kMask
template <int kCount, int kShift, int kMask>
static inline void unpack_bits(const uint8_t* in, int8_t* __restrict out) {
  for (int i = 0; i < kCount; ++i) out[i] = static_cast<int8_t>((in[i] >> kShift) & kMask);
}

// out[i] += ((in[i] >> kShift) & kMask) << kTo
template <int kCount, int kShift, int kMask, int kTo>
static inline void add_bits(const uint8_t* in, int8_t* __restrict out) {
  for (int i = 0; i < kCount; ++i) out[i] = static_cast<int8_t>(out[i] | (((in[i] >> kShift) & kMask) << kTo));
}

// 2 * kBytes nibbles: the low halves, then the high halves.
template <int kBytes>
static inline void unpack_nibbles(const uint8_t* in, int8_t* __restrict out) {
  unpack_bits<kBytes, 0, 15>(in, out);
  unpack_bits<kBytes, 4, 15>(in, out + kBytes);
}

// out[i] = scale * (q[i] - kZero)
template <int kCount, int kZero>
static inline void scale_bytes(const int8_t* q, float scale, float* __restrict out) {
  for (int i = 0; i < kCount; ++i) out[i] = scale * static_cast<float>(q[i] - kZero);
}

// out[i] = scale * q[i] + offset
template <int kCount>
static inline void scale_bytes(const int8_t* q, float scale, float offset, float* __restrict out) {
  for (int i = 0; i < kCount; ++i) out[i] = scale * static_cast<float>(q[i]) + offset;
}

}  // namespace g4::G4_ISA_NAMESPACE

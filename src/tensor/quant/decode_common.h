// What the decoders share: the primary template, and pairs of sixteen elements out of sixteen bytes of nibbles.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/quant/blocks.h"
#include "tensor/quant/half_isa.h"
#include "tensor/quant/lanes.h"

namespace g4::G4_ISA_NAMESPACE {

// Specialised per format: Block, kElements, and decode(block, out) writing kElements floats.
template <DType kType>
struct BlockDecoder;

static inline Bytes16 low_nibbles(Bytes16 bytes) { return bit_field<0, 4>(bytes); }
static inline Bytes16 high_nibbles(Bytes16 bytes) { return bit_field<4, 4>(bytes); }

}  // namespace g4::G4_ISA_NAMESPACE

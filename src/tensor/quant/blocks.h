// The packed blocks of GGUF's quantised formats, byte for byte. All members are bytes, so a block may lie at any
// address. Element i of a group of 2n nibbles is the low half of byte i for i < n and the high half of byte i - n after
// that. Source: the block definitions of the GGUF format (the `gguf` package's quants module decodes the same layouts).
#pragma once

#include <cstdint>

namespace g4 {

struct PackedHalf {  // f16 or bf16, little endian
  uint8_t bytes[2];
};

struct BlockF32 {
  uint8_t bytes[4];
};

struct BlockQ8_0 {  // d * q
  PackedHalf d;
  uint8_t q[32];  // int8
};

struct BlockQ4_0 {  // d * (q - 8)
  PackedHalf d;
  uint8_t q[16];
};

struct BlockQ4_1 {  // d * q + m
  PackedHalf d;
  PackedHalf m;
  uint8_t q[16];
};

struct BlockQ5_0 {  // d * (q - 16)
  PackedHalf d;
  uint8_t high[4];  // bit i: the fifth bit of element i
  uint8_t q[16];
};

struct BlockQ5_1 {  // d * q + m
  PackedHalf d;
  PackedHalf m;
  uint8_t high[4];
  uint8_t q[16];
};

struct BlockQ2_K {     // 16 groups of 16: (d * scale) * q - (dmin * min)
  uint8_t scales[16];  // scale in the low half, min in the high half
  uint8_t q[64];       // 2 bits each: byte i of a run of 32 holds elements i, i + 32, i + 64, i + 96 of 128
  PackedHalf d;
  PackedHalf dmin;
};

struct BlockQ3_K {     // 16 groups of 16: (d * (scale - 32)) * q
  uint8_t high[32];    // bit j of byte i: element 32 j + i is not lowered by 4
  uint8_t q[64];       // as in Q2_K
  uint8_t scales[12];  // 6 bits each: 16 low halves, then 16 high pairs
  PackedHalf d;
};

struct BlockQ4_K {  // 8 groups of 32: (d * scale) * q - (dmin * min)
  PackedHalf d;
  PackedHalf dmin;
  uint8_t scales[12];  // 6 bits each: see unpack_k_scales
  uint8_t q[128];      // a run of 32 bytes holds two groups
};

struct BlockQ5_K {  // as Q4_K with a fifth bit
  PackedHalf d;
  PackedHalf dmin;
  uint8_t scales[12];
  uint8_t high[32];  // bit j of byte i: the fifth bit of element 32 j + i
  uint8_t q[128];
};

struct BlockQ6_K {     // 16 groups of 16: (d * scale) * (q - 32)
  uint8_t q[128];      // low 4 bits: a run of 64 bytes holds 128 elements
  uint8_t high[64];    // high 2 bits, as the pairs of Q2_K
  uint8_t scales[16];  // int8
  PackedHalf d;
};

struct BlockIQ4_NL {  // d * value[q]
  PackedHalf d;
  uint8_t q[16];
};

struct BlockIQ4_XS {  // 8 groups of 32: (d * (scale - 32)) * value[q]
  PackedHalf d;
  uint8_t scales_high[2];  // 2 bits a group
  uint8_t scales_low[4];   // 4 bits a group
  uint8_t q[128];
};

struct BlockMXFP4 {  // 2^(exponent - 128) * value[q], values being e2m1 doubled
  uint8_t exponent;
  uint8_t q[16];
};

static_assert(sizeof(BlockF32) == 4 && sizeof(PackedHalf) == 2);
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);
static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136 && sizeof(BlockMXFP4) == 17);
static_assert(alignof(BlockQ6_K) == 1 && alignof(BlockQ4_K) == 1);

}  // namespace g4

// What the processor's vector unit does its own way for panels. Each architecture has a header that gives, under the
// same names:
//
//   kHasPanels              whether panels pay
//   kPairing                whether paired activations pay (panel_activations.h)
//   kSignBit                128 where codes are unsigned bytes, 0 where they are signed: codes of eight bits are raised
//                           by it
//   kActRun                 a block's activations lie in runs of so many high bytes, then their low bytes
//   RowBytes, SignedRowBytes, RowWords     kLanes integers (load_vector), each row's one
//   to_ints(v), load_halves(p)             those, or a float16 of each row, widened
//   code_bits<kFrom, kMask>(codes)         bits kFrom and above of each byte, kMask of them
//   look_up_codes(table, codes)            table[c] for each code below 16
//   high_quad(x, j), low_quad(x, j)        the high or low bytes of elements 4 j to 4 j + 3 of a block of activations
//   ByteSum<kFourBit>       exact sums over a block: add(codes, quad) adds each row's four codes times the quad;
//                           total() gives what all came to; where not kShort, `sum` may begin with a number
//   kHasOctets              whether codes of eight elements meet both bytes of activations at once: OctetSum<true>'s
//                           order(codes) puts a block's eight vectors in that order, add(codes[j], x, j) adds them
//   kHasHalves              whether bfloat16 products take both operands as such
#pragma once

#if defined(__AVX2__)
#include "backends/cpu/kernels/panel_x86.h"
#elif defined(__aarch64__)
#include "backends/cpu/kernels/panel_arm.h"
#else
#include "backends/cpu/kernels/panel_plain.h"
#endif

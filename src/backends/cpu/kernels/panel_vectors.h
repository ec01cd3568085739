// Vectors over the rows of a panel (panels.h), one lane a row. One register holds kLanes of the 16 rows: a panel is
// multiplied in kParts parts. What each architecture does its own way: panel_unit.h.
#pragma once

#include <cstdint>

#include "backends/cpu/kernels/simd.h"

// Before a loop that must unroll whole, for its arrays to be registers.
#if defined(__clang__)
#define G4_UNROLL _Pragma("unroll")
#else
#define G4_UNROLL _Pragma("GCC unroll 16")
#endif

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int kParts = static_cast<int>(kPanelRows) / kLanes;

typedef uint8_t Codes __attribute__((vector_size(kLanes * 4)));  // four consecutive weights of each row
typedef uint16_t CodePairs __attribute__((vector_size(kLanes * 4)));
typedef IVec RowInts;
typedef Vec RowFloats;

// Sums over a block of codes of eight elements times both bytes of activations at once, for units that have it.
template <bool kHasOctets>
struct OctetSum {
  static G4_INLINE void order(Codes*) {}
};

template <class T>
static G4_INLINE T load_vector(const void* p) {
  T v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
static G4_INLINE void store_vector(void* p, T v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// Asks for the lines that follow a block: those far ahead into the second-level cache, which can wait for more lines
// than the first, and from there, when they are near, into the first.
inline constexpr int64_t kFarAhead = 32768, kNearAhead = 2048;
template <int64_t kBytes>
static G4_INLINE void prefetch_ahead(const std::byte* at) {
  for (int64_t i = 0; i < kBytes; i += 64) {
    __builtin_prefetch(at + kFarAhead + i, 0, 2);
    __builtin_prefetch(at + kNearAhead + i);
  }
}

static G4_INLINE RowFloats all_rows(float x) { return splat(x); }
static G4_INLINE RowInts all_rows(int32_t x) { return RowInts{} + x; }
static G4_INLINE RowFloats to_floats(RowInts v) { return __builtin_convertvector(v, RowFloats); }

}  // namespace g4::G4_ISA_NAMESPACE

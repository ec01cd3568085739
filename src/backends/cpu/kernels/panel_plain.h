// Panels by the compiler's own vectors, which do not pay: see panel_unit.h.
#pragma once

#include "backends/cpu/kernels/panel_vectors.h"
#include "tensor/quant/half_isa.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr bool kHasPanels = false;
inline constexpr bool kPairing = false;
inline constexpr uint8_t kSignBit = 128;
inline constexpr int kActRun = 32;

typedef uint8_t RowBytes __attribute__((vector_size(kLanes)));
typedef int8_t SignedRowBytes __attribute__((vector_size(kLanes)));
typedef uint16_t RowWords __attribute__((vector_size(kLanes * 2)));

template <class T>
static G4_INLINE RowInts to_ints(T v) {
  return __builtin_convertvector(v, RowInts);
}

static G4_INLINE RowFloats load_halves(const std::byte* p) {
  RowFloats v;
  for (int r = 0; r < kLanes; ++r) v[r] = f16_to_f32(load_vector<uint16_t>(p + 2 * r));
  return v;
}

struct Quad {
  int8_t bytes[4];
};
static G4_INLINE Quad high_quad(const std::byte* x, int j) { return load_vector<Quad>(x + 4 * j); }
static G4_INLINE Quad low_quad(const std::byte* x, int j) { return load_vector<Quad>(x + 32 + 4 * j); }

template <bool kFourBit>
struct ByteSum {
  static constexpr bool kShort = false;
  RowInts sum{};

  G4_INLINE void add(Codes codes, Quad quad) {
    for (int i = 0; i < 4 * kLanes; ++i) sum[i / 4] += codes[i] * quad.bytes[i % 4];
  }
  G4_INLINE RowInts total() const { return sum; }
};

inline constexpr bool kHasOctets = false, kHasHalves = false;

template <int kFrom, uint8_t kMask>
static G4_INLINE Codes code_bits(Codes c) {
  return (Codes)((CodePairs)c >> kFrom) & kMask;
}

static G4_INLINE Codes look_up_codes(const uint8_t* table, Codes c) {
  for (int i = 0; i < 4 * kLanes; ++i) c[i] = table[c[i]];
  return c;
}

}  // namespace g4::G4_ISA_NAMESPACE

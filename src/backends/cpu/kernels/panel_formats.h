// How a panel of each format is read (fields: panels.cpp). A format gives, for a block of 32 elements, eight vectors of
// codes, bytes as the processor multiplies them (panel_unit.h), and the rows' float scales:
//   weight = scale * (code - kOffset), or scale * code - minimum where kMinimum.
// kGroups scales share a block (2: one for each half). Codes of kFourBit formats lie below 16. kBytes are those of the
// 16 rows' blocks of 32, kBlock the elements of the format's own. Where kRun blocks share bytes, run_codes gives the
// codes of vector j of each.
#pragma once

#include "backends/cpu/kernels/panel_unit.h"
#include "tensor/dtype.h"
#include "tensor/quant/decode_iq.h"

namespace g4::G4_ISA_NAMESPACE {

template <DType kType>
struct PanelFormat;

// The rows of a panel that a vector holds: all 16, or kLanes of them from kLanes * part on. `blocks` of the format.
struct PanelPart {
  const std::byte* panel;
  int64_t blocks;
  int part = 0;

  // A field's first unit of these rows, after the fields before it, `before` bytes of each row's blocks.
  G4_INLINE const std::byte* field(int64_t before, int64_t unit) const {
    return panel + blocks * before * kPanelRows + part * kLanes * unit;
  }
};

// Codes 0-15 and 16-31 of a block in the two halves of 16 bytes a row.
static G4_INLINE void split_nibbles(const std::byte* q, Codes* out) {
  for (int j = 0; j < 4; ++j) {
    const Codes c = load_vector<Codes>(q + j * 64);
    out[j] = code_bits<0, 15>(c);
    out[j + 4] = code_bits<4, 15>(c);
  }
}

// The same for paired activations (panel_activations.h): codes 0-15, and the bytes as they are, which hold both codes.
static G4_INLINE void paired_nibbles(const std::byte* q, Codes* out) {
  for (int j = 0; j < 4; ++j) {
    out[j + 4] = load_vector<Codes>(q + j * 64);
    out[j] = out[j + 4] & 15;
  }
}

// Adds 16 to the codes whose bit is set in their row's 32 bits.
static G4_INLINE void add_fifth_bits(const std::byte* bits, Codes* codes) {
  const RowInts words = load_vector<RowInts>(bits);
  for (int j = 0; j < 8; ++j) {
    // The nibble of quad j, spread over the four bytes of each row: bit i to byte i.
    const RowInts nibble = (words >> (4 * j)) & 15;
    const RowInts spread = (nibble | nibble << 7 | nibble << 14 | nibble << 21) & 0x01010101;
    codes[j] |= (Codes)(spread << 4);
  }
}

// One float16 scale to a block.
struct PanelScale {
  const std::byte* d;
  explicit PanelScale(const PanelPart& at) : d(at.field(0, 2)) {}
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats*) const { *s = load_halves(d + b * 32); }
};
// And a float16 minimum, added.
struct PanelScaleMinimum {
  const std::byte *d, *m;
  explicit PanelScaleMinimum(const PanelPart& at) : d(at.field(0, 2)), m(at.field(2, 2)) {}
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats* minimum) const {
    *s = load_halves(d + b * 32);
    *minimum = -load_halves(m + b * 32);
  }
};

template <>
struct PanelFormat<DType::Q4_0> : PanelScale {
  static constexpr int kBlock = 32, kOffset = 8, kGroups = 1;
  static constexpr bool kMinimum = false, kFourBit = true;
  static constexpr int64_t kBytes = 288;
  const std::byte* q;
  explicit PanelFormat(const PanelPart& at) : PanelScale(at), q(at.field(2, 4)) {}
  G4_INLINE void codes(int64_t b, Codes* out) const { split_nibbles(q + b * 256, out); }
  G4_INLINE void paired_codes(int64_t b, Codes* out) const { paired_nibbles(q + b * 256, out); }
};

template <>
struct PanelFormat<DType::Q4_1> : PanelScaleMinimum {
  static constexpr int kBlock = 32, kOffset = 0, kGroups = 1;
  static constexpr bool kMinimum = true, kFourBit = true;
  static constexpr int64_t kBytes = 320;
  const std::byte* q;
  explicit PanelFormat(const PanelPart& at) : PanelScaleMinimum(at), q(at.field(4, 4)) {}
  G4_INLINE void codes(int64_t b, Codes* out) const { split_nibbles(q + b * 256, out); }
  G4_INLINE void paired_codes(int64_t b, Codes* out) const { paired_nibbles(q + b * 256, out); }
};

template <>
struct PanelFormat<DType::Q5_0> : PanelScale {
  static constexpr int kBlock = 32, kOffset = 16, kGroups = 1;
  static constexpr bool kMinimum = false, kFourBit = false;
  static constexpr int64_t kBytes = 352;
  const std::byte *high, *q;
  explicit PanelFormat(const PanelPart& at) : PanelScale(at), high(at.field(2, 4)), q(at.field(6, 4)) {}
  G4_INLINE void codes(int64_t b, Codes* out) const {
    split_nibbles(q + b * 256, out);
    add_fifth_bits(high + b * 64, out);
  }
};

template <>
struct PanelFormat<DType::Q5_1> : PanelScaleMinimum {
  static constexpr int kBlock = 32, kOffset = 0, kGroups = 1;
  static constexpr bool kMinimum = true, kFourBit = false;
  static constexpr int64_t kBytes = 384;
  const std::byte *high, *q;
  explicit PanelFormat(const PanelPart& at) : PanelScaleMinimum(at), high(at.field(4, 4)), q(at.field(8, 4)) {}
  G4_INLINE void codes(int64_t b, Codes* out) const {
    split_nibbles(q + b * 256, out);
    add_fifth_bits(high + b * 64, out);
  }
};

template <>
struct PanelFormat<DType::Q8_0> : PanelScale {
  static constexpr int kBlock = 32, kOffset = kSignBit, kGroups = 1;
  static constexpr bool kMinimum = false, kFourBit = false;
  static constexpr int64_t kBytes = 544;
  const std::byte* q;
  explicit PanelFormat(const PanelPart& at) : PanelScale(at), q(at.field(2, 4)) {}
  G4_INLINE void codes(int64_t b, Codes* out) const {
    for (int j = 0; j < 8; ++j) out[j] = load_vector<Codes>(q + b * 512 + j * 64) ^ kSignBit;
  }
};

// Eight 6-bit scales and minima of a super-block, their 12 bytes side by side for the 16 rows: decode_k.h.
struct PanelKScales {
  const std::byte *d, *dmin, *packed;
  explicit PanelKScales(const PanelPart& at) : d(at.field(0, 2)), dmin(at.field(2, 2)), packed(at.field(4, 1)) {}
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats* minimum) const {
    const int64_t block = b / 8, j = b % 8;
    const std::byte* at = packed + block * 12 * 16;
    const auto row_bytes = [&](int64_t i) { return load_vector<RowBytes>(at + i * 16); };
    RowBytes scale, low;
    if (j < 4) {
      scale = row_bytes(j) & 63;
      low = row_bytes(j + 4) & 63;
    } else {
      const RowBytes halves = row_bytes(j + 4);
      scale = (halves & 15) | ((row_bytes(j - 4) >> 2) & 48);
      low = (halves >> 4) | ((row_bytes(j) >> 2) & 48);
    }
    *s = load_halves(d + block * 32) * to_floats(to_ints(scale));
    *minimum = load_halves(dmin + block * 32) * to_floats(to_ints(low));
  }
};

// Nibbles of K formats: 32 bytes a row hold two blocks, the low halves the first.
static G4_INLINE void pair_nibbles(const std::byte* q, bool second, Codes* out) {
  for (int j = 0; j < 8; ++j) {
    const Codes c = load_vector<Codes>(q + j * 64);
    out[j] = second ? code_bits<4, 15>(c) : code_bits<0, 15>(c);
  }
}

// Codes of 2 bits: 32 bytes a row hold four blocks.
static G4_INLINE Codes pair_codes(Codes c, int block) { return (Codes)((CodePairs)c >> (2 * block)) & 3; }

template <>
struct PanelFormat<DType::Q2_K> {
  static constexpr int kBlock = 256, kOffset = 0, kGroups = 2;
  static constexpr bool kMinimum = true, kFourBit = true;
  static constexpr int64_t kRun = 4;
  static constexpr int64_t kBytes = 168;
  const std::byte *scale, *q, *d, *dmin;
  explicit PanelFormat(const PanelPart& at)
      : scale(at.field(0, 1)), q(at.field(16, 4)), d(at.field(80, 2)), dmin(at.field(82, 2)) {}
  G4_INLINE void run_codes(int64_t first, int j, Codes* out) const {
    const Codes c = load_vector<Codes>(q + first / 4 * 512 + j * 64);
    for (int r = 0; r < 4; ++r) out[r] = pair_codes(c, r);
  }
  G4_INLINE void codes(int64_t b, Codes* out) const {
    for (int j = 0; j < 8; ++j)
      out[j] = pair_codes(load_vector<Codes>(q + b / 4 * 512 + j * 64), static_cast<int>(b % 4));
  }
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats* minimum) const {
    const RowFloats factor = load_halves(d + b / 8 * 32), lowest = load_halves(dmin + b / 8 * 32);
    for (int g = 0; g < 2; ++g) {
      const RowInts packed = to_ints(load_vector<RowBytes>(scale + (2 * b + g) * 16));
      s[g] = factor * to_floats(packed & 15);
      minimum[g] = lowest * to_floats(packed >> 4);
    }
  }
};

template <>
struct PanelFormat<DType::Q3_K> {
  static constexpr int kBlock = 256, kOffset = 4, kGroups = 2;
  static constexpr bool kMinimum = false, kFourBit = true;
  static constexpr int64_t kRun = 4;
  static constexpr int64_t kBytes = 220;
  const std::byte *high, *q, *packed, *d;
  explicit PanelFormat(const PanelPart& at)
      : high(at.field(0, 4)), q(at.field(32, 4)), packed(at.field(96, 1)), d(at.field(108, 2)) {}
  static G4_INLINE Codes third_bit(CodePairs bits, int block) { return (Codes)(bits >> block << 2) & 4; }
  G4_INLINE void run_codes(int64_t first, int j, Codes* out) const {
    const Codes c = load_vector<Codes>(q + first / 4 * 512 + j * 64);
    const CodePairs bits = load_vector<CodePairs>(high + first / 8 * 512 + j * 64);
    for (int r = 0; r < 4; ++r) out[r] = pair_codes(c, r) | third_bit(bits, static_cast<int>(first % 8) + r);
  }
  G4_INLINE void codes(int64_t b, Codes* out) const {
    for (int j = 0; j < 8; ++j)
      out[j] = pair_codes(load_vector<Codes>(q + b / 4 * 512 + j * 64), static_cast<int>(b % 4)) |
               third_bit(load_vector<CodePairs>(high + b / 8 * 512 + j * 64), static_cast<int>(b % 8));
  }
  // Six bits a group: the low four in nibbles of 8 bytes, the others in pairs of 4.
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats*) const {
    const std::byte* at = packed + b / 8 * 12 * 16;
    const RowFloats factor = load_halves(d + b / 8 * 32);
    for (int g = 0; g < 2; ++g) {
      const int group = static_cast<int>(b % 8) * 2 + g, quarter = group / 4;
      const RowInts low = to_ints(load_vector<RowBytes>(at + group % 8 * 16)) >> (4 * (quarter / 2));
      const RowInts top = to_ints(load_vector<RowBytes>(at + (8 + group % 4) * 16)) >> (2 * quarter);
      s[g] = factor * to_floats(((low & 15) | (top & 3) << 4) - 32);
    }
  }
};

template <>
struct PanelFormat<DType::Q4_K> : PanelKScales {
  static constexpr int kBlock = 256, kOffset = 0, kGroups = 1;
  static constexpr bool kMinimum = true, kFourBit = true;
  static constexpr int64_t kRun = 2;
  static constexpr int64_t kBytes = 288;
  const std::byte* q;
  explicit PanelFormat(const PanelPart& at) : PanelKScales(at), q(at.field(16, 4)) {}
  G4_INLINE void run_codes(int64_t first, int j, Codes* out) const {
    const Codes c = load_vector<Codes>(q + first / 2 * 512 + j * 64);
    out[0] = code_bits<0, 15>(c);
    out[1] = code_bits<4, 15>(c);
  }
  G4_INLINE void codes(int64_t b, Codes* out) const { pair_nibbles(q + b / 2 * 512, b % 2, out); }
};

template <>
struct PanelFormat<DType::Q5_K> : PanelKScales {
  static constexpr int kBlock = 256, kOffset = 0, kGroups = 1;
  static constexpr bool kMinimum = true, kFourBit = false;
  static constexpr int64_t kRun = 2;
  static constexpr int64_t kBytes = 352;
  const std::byte *high, *q;
  explicit PanelFormat(const PanelPart& at) : PanelKScales(at), high(at.field(16, 4)), q(at.field(48, 4)) {}
  G4_INLINE void run_codes(int64_t first, int j, Codes* out) const {
    const Codes c = load_vector<Codes>(q + first / 2 * 512 + j * 64);
    const CodePairs bits = load_vector<CodePairs>(high + first / 8 * 512 + j * 64) >> static_cast<int>(first % 8);
    out[0] = code_bits<0, 15>(c) | ((Codes)(bits << 4) & 16);
    out[1] = code_bits<4, 15>(c) | ((Codes)(bits << 3) & 16);
  }
  G4_INLINE void codes(int64_t b, Codes* out) const {
    pair_nibbles(q + b / 2 * 512, b % 2, out);
    for (int j = 0; j < 8; ++j) {
      const CodePairs bits = load_vector<CodePairs>(high + b / 8 * 512 + j * 64) >> static_cast<int>(b % 8);
      out[j] |= (Codes)((bits << 4)) & 16;
    }
  }
};

template <>
struct PanelFormat<DType::Q6_K> {
  static constexpr int kBlock = 256, kOffset = 32, kGroups = 2;
  static constexpr bool kMinimum = false, kFourBit = false;
  static constexpr int64_t kRun = 4;
  static constexpr int64_t kBytes = 420;
  const std::byte *q, *high, *scale, *d;
  explicit PanelFormat(const PanelPart& at)
      : q(at.field(0, 4)), high(at.field(128, 4)), scale(at.field(192, 1)), d(at.field(208, 2)) {}
  G4_INLINE void run_codes(int64_t first, int j, Codes* out) const {
    const std::byte* at = q + first / 4 * 1024 + j * 64;
    const Codes even = load_vector<Codes>(at), odd = load_vector<Codes>(at + 512);
    const CodePairs bits = load_vector<CodePairs>(high + first / 4 * 512 + j * 64);
    out[0] = code_bits<0, 15>(even) | ((Codes)(bits << 4) & 0x30);
    out[1] = code_bits<0, 15>(odd) | ((Codes)(bits << 2) & 0x30);
    out[2] = code_bits<4, 15>(even) | ((Codes)bits & 0x30);
    out[3] = code_bits<4, 15>(odd) | ((Codes)(bits >> 2) & 0x30);
  }
  G4_INLINE void codes(int64_t b, Codes* out) const {
    const int64_t run = b / 4, part = b % 4;  // of 128 elements: 64 bytes a row of nibbles, 32 of pairs
    pair_nibbles(q + run * 1024 + (part & 1) * 512, part >= 2, out);
    for (int j = 0; j < 8; ++j) {
      const CodePairs bits = load_vector<CodePairs>(high + run * 512 + j * 64) >> static_cast<int>(2 * part);
      out[j] |= (Codes)((bits & 0x0303) << 4);
    }
  }
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats*) const {
    const RowFloats factor = load_halves(d + b / 8 * 32);
    for (int g = 0; g < 2; ++g) {
      const auto bytes = load_vector<SignedRowBytes>(scale + (b / 8 * 16 + b % 8 * 2 + g) * 16);
      s[g] = factor * to_floats(to_ints(bytes));
    }
  }
};

// Nibbles that index a table; codes are its values raised by kOffset.
struct PanelTable {
  uint8_t raised[16];
  explicit PanelTable(const int8_t* values, int offset) {
    for (int i = 0; i < 16; ++i) raised[i] = static_cast<uint8_t>(values[i] + offset);
  }
  G4_INLINE void codes(const std::byte* q, Codes* out) const {
    split_nibbles(q, out);
    for (int j = 0; j < 8; ++j) out[j] = look_up_codes(raised, out[j]);
  }
};

template <>
struct PanelFormat<DType::IQ4_NL> : PanelScale {
  static constexpr int kBlock = 32, kOffset = kSignBit, kGroups = 1;
  static constexpr bool kMinimum = false, kFourBit = false;
  static constexpr int64_t kBytes = 288;
  PanelTable table{kIq4Values, kOffset};
  const std::byte* q;
  explicit PanelFormat(const PanelPart& at) : PanelScale(at), q(at.field(2, 4)) {}
  G4_INLINE void codes(int64_t b, Codes* out) const { table.codes(q + b * 256, out); }
};

template <>
struct PanelFormat<DType::IQ4_XS> {
  static constexpr int kBlock = 256, kOffset = kSignBit, kGroups = 1;
  static constexpr bool kMinimum = false, kFourBit = false;
  static constexpr int64_t kBytes = 272;
  PanelTable table{kIq4Values, kOffset};
  const std::byte *d, *high, *low, *q;
  explicit PanelFormat(const PanelPart& at)
      : d(at.field(0, 2)), high(at.field(2, 2)), low(at.field(4, 1)), q(at.field(8, 4)) {}
  G4_INLINE void codes(int64_t b, Codes* out) const { table.codes(q + b * 256, out); }
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats*) const {
    const int64_t block = b / 8;
    const int j = static_cast<int>(b % 8);
    const RowInts top = to_ints(load_vector<RowWords>(high + block * 32)) >> (2 * j);
    const RowInts bottom = to_ints(load_vector<RowBytes>(low + (block * 4 + j / 2) * 16)) >> (4 * (j & 1));
    *s = load_halves(d + block * 32) * to_floats(((bottom & 15) | (top & 3) << 4) - 32);
  }
};

template <>
struct PanelFormat<DType::MXFP4> {
  static constexpr int kBlock = 32, kOffset = 16, kGroups = 1;
  static constexpr bool kMinimum = false, kFourBit = false;
  static constexpr int64_t kBytes = 272;
  PanelTable table{kMxfp4Values, kOffset};
  const std::byte *exponent, *q;
  explicit PanelFormat(const PanelPart& at) : exponent(at.field(0, 1)), q(at.field(1, 4)) {}
  G4_INLINE void codes(int64_t b, Codes* out) const { table.codes(q + b * 256, out); }
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats*) const {  // decode_iq.h's mxfp4_scale
    const RowInts e = to_ints(load_vector<RowBytes>(exponent + b * 16));
    const RowInts normal = (e - 1) << 23, subnormal = all_rows(0x00200000) << (e & 1);
    const RowInts small = e < 2;
    *s = (RowFloats)((small & subnormal) | (~small & normal));
  }
};

}  // namespace g4::G4_ISA_NAMESPACE

// Products of one panel with a few tokens' quantised activations: decode's inner loop, and the vector unit's prefill.
// Integer sums are exact, so only the order of the blocks' float sums matters, and it is the same in both.
#pragma once

#include "backends/cpu/kernels/panel_activations.h"
#include "backends/cpu/kernels/panel_formats.h"

namespace g4::G4_ISA_NAMESPACE {

// What `quantize_row` multiplies its sums by for a format.
template <class Format>
inline constexpr int32_t kSumFactor = Format::kMinimum ? 1 : -Format::kOffset;

// A block's contribution before the activation's scale: `sum` are its exact integer sums, kGroups of them, `act_sums`
// those of its activations (of formats with minima).
template <class Format>
static G4_INLINE RowFloats block_value(const RowInts* sum, const RowFloats* scale, const RowFloats* minimum,
                                       const int32_t* act_sums) {
  RowFloats value = to_floats(sum[0]) * scale[0];
  for (int g = 0; g < Format::kGroups; ++g) {
    if constexpr (Format::kMinimum) value = fma(minimum[g], all_rows(-static_cast<float>(act_sums[g])), value);
    if (g + 1 < Format::kGroups) value = fma(to_floats(sum[g + 1]), scale[g + 1], value);
  }
  return value;
}

// A panel that is read from memory once, from block `first` on.
template <class Format>
struct StreamedPanel : Format {
  const std::byte* panel;
  int64_t first;
  bool leads;  // the first part to pass over these blocks
  static constexpr bool kOctets = false;
  StreamedPanel(const PanelPart& at, int64_t from) : Format(at), panel(at.panel), first(from), leads(at.part == 0) {}

  G4_INLINE void prefetch(int64_t b) const {
    if (kParts == 1 || leads) prefetch_ahead<Format::kBytes>(panel + (first + b) * Format::kBytes);
  }
  G4_INLINE void codes(int64_t b, Codes* out) const { Format::codes(first + b, out); }
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats* minimum) const { Format::scales(first + b, s, minimum); }
  G4_INLINE void run_codes(int64_t b, int j, Codes* out) const requires requires(const Format& f) {
    f.run_codes(b, j, out);
  }
  { Format::run_codes(first + b, j, out); }
};

// A format whose codes meet paired activations, where shifting codes apart costs more than it spares.
template <class Format>
inline constexpr bool kPairs = kPairing&& requires(const Format& f, Codes* out) {
  f.paired_codes(0, out);
};

// The same for paired activations.
template <class Format>
struct PairedPanel : StreamedPanel<Format> {
  using StreamedPanel<Format>::StreamedPanel;
  static constexpr bool kPaired = true;
  G4_INLINE void codes(int64_t b, Codes* out) const { Format::paired_codes(this->first + b, out); }
};

// acc[t * kPanels + p] += blocks [0, blocks) of panel w[p]'s part times the tokens' blocks from where x[t] points.
// Weights is a StreamedPanel, a PairedPanel or an UnpackedPanel.
template <class Format, int kTokens, int kPanels, class Weights>
static G4_INLINE void dot_blocks(const Weights* w, int64_t blocks, TokenBlocks* x, RowFloats* acc) {
  constexpr int kGroups = Format::kGroups, kQuads = 8 / kGroups, kSums = kTokens * kPanels;
  constexpr bool kPaired = requires { Weights::kPaired; };
  // Of sums that wait for nothing but each other. Paired ones have two of high bytes: they count 256 and 16 times.
  constexpr int kChains = kSums < 4 ? 2 : 1, kHighChains = kPaired ? 2 : kChains;
  constexpr bool kOctets = kHasOctets && (Weights::kOctets || kTokens > 1);
  for (int64_t b = 0; b < blocks; ++b) {
    Codes codes[kPanels][8];
    RowFloats scale[kPanels][kGroups], minimum[kPanels][kGroups] = {};
    for (int p = 0; p < kPanels; ++p) {
      w[p].prefetch(b);
      w[p].codes(b, codes[p]);
      w[p].scales(b, scale[p], minimum[p]);
      if constexpr (kOctets && !Weights::kOctets) OctetSum<kOctets>::order(codes[p]);
    }
    RowInts sum[kSums][kGroups];
    G4_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      if constexpr (kOctets) {
        OctetSum<kOctets> all[kSums];
        G4_UNROLL
        for (int j = g * kQuads; j < (g + 1) * kQuads; ++j) G4_UNROLL
        for (int s = 0; s < kSums; ++s) all[s].add(codes[s % kPanels][j], x[s / kPanels].codes, j);
        for (int s = 0; s < kSums; ++s) {
          sum[s][g] = all[s].total();
          if constexpr (kSumFactor<Format> < 0) sum[s][g] += all_rows(x[s / kPanels].sums[g]);
        }
        continue;
      }
      using Sum = ByteSum<Format::kFourBit>;
      Sum high[kSums][kHighChains], low[kSums][kChains];
      if constexpr (kSumFactor<Format> < 0 && !Sum::kShort)
        for (int s = 0; s < kSums; ++s) low[s][0].sum = all_rows(x[s / kPanels].sums[g]);
      G4_UNROLL
      for (int j = g * kQuads; j < (g + 1) * kQuads; ++j) G4_UNROLL
      for (int s = 0; s < kSums; ++s) {
        const std::byte* at = x[s / kPanels].codes;
        const Codes weights = codes[s % kPanels][j];
        high[s][kPaired ? j / 4 : j % kChains].add(weights, high_quad(at, j));
        low[s][j % kChains].add(weights, low_quad(at, j));
      }
      for (int s = 0; s < kSums; ++s) {
        RowInts all[2] = {high[s][0].total(), low[s][0].total()};
        if constexpr (kPaired) all[0] <<= 4;
        for (int c = 1; c < kHighChains; ++c) all[0] += high[s][c].total();
        for (int c = 1; c < kChains; ++c) all[1] += low[s][c].total();
        sum[s][g] = (all[0] << 4) + all[1];
        if constexpr (kSumFactor<Format> < 0 && Sum::kShort) sum[s][g] += all_rows(x[s / kPanels].sums[g]);
      }
    }
    for (int s = 0; s < kSums; ++s) {
      const TokenBlocks& at = x[s / kPanels];
      const RowFloats value = block_value<Format>(sum[s], scale[s % kPanels], minimum[s % kPanels], at.sums);
      acc[s] = fma(value, all_rows(*at.scales), acc[s]);
    }
    for (int t = 0; t < kTokens; ++t) x[t].next(kGroups);
  }
}

// The same for one token and a format whose runs of blocks share bytes: each is loaded once.
template <class Format>
static G4_INLINE void dot_runs(const StreamedPanel<Format>& w, int64_t blocks, const TokenBlocks& x, RowFloats* acc) {
  constexpr int kGroups = Format::kGroups, kQuads = 8 / kGroups, kRun = Format::kRun;
  TokenBlocks at = x;
  for (int64_t first = 0; first < blocks; first += kRun) {
    RowInts sum[kRun][kGroups];
    for (int r = 0; r < kRun; ++r) w.prefetch(first + r);
    G4_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      using Sum = ByteSum<Format::kFourBit>;
      Sum high[kRun], low[kRun];
      if constexpr (kSumFactor<Format> < 0 && !Sum::kShort)
        for (int r = 0; r < kRun; ++r) low[r].sum = all_rows(at.sums[r * kGroups + g]);
      G4_UNROLL
      for (int j = g * kQuads; j < (g + 1) * kQuads; ++j) {
        Codes codes[kRun];
        w.run_codes(first, j, codes);
        G4_UNROLL
        for (int r = 0; r < kRun; ++r) {
          high[r].add(codes[r], high_quad(at.codes + r * 64, j));
          low[r].add(codes[r], low_quad(at.codes + r * 64, j));
        }
      }
      for (int r = 0; r < kRun; ++r) {
        sum[r][g] = (high[r].total() << 4) + low[r].total();
        if constexpr (kSumFactor<Format> < 0 && Sum::kShort) sum[r][g] += all_rows(at.sums[r * kGroups + g]);
      }
    }
    for (int r = 0; r < kRun; ++r) {
      RowFloats scale[kGroups], minimum[kGroups] = {};
      w.scales(first + r, scale, minimum);
      const RowFloats value = block_value<Format>(sum[r], scale, minimum, at.sums);
      *acc = fma(value, all_rows(*at.scales), *acc);
      at.next(kGroups);
    }
  }
}

// A stretch of a panel's part with its codes and scales spelled out, for use with many tokens.
template <class Format>
struct UnpackedPanel {
  std::byte* memory;
  int64_t blocks;

  static constexpr bool kOctets = kHasOctets;
  static constexpr int64_t kScales = Format::kGroups * (Format::kMinimum ? 2 : 1);
  static constexpr int64_t kVector = sizeof(Codes), kCodeBytes = 8 * kVector;
  static constexpr int64_t kBlockBytes = kCodeBytes + kScales * kVector;

  void unpack(const Format& w, int64_t first) const {
    for (int64_t b = 0; b < blocks; ++b) {
      Codes c[8];
      w.codes(first + b, c);
      OctetSum<kOctets>::order(c);
      for (int j = 0; j < 8; ++j) store_vector(memory + b * kBlockBytes + j * kVector, c[j]);
      RowFloats scale[Format::kGroups], minimum[Format::kGroups] = {};
      w.scales(first + b, scale, minimum);
      for (int g = 0; g < Format::kGroups; ++g) store_vector(scales_of(b) + g * kVector, scale[g]);
      if constexpr (Format::kMinimum)
        for (int g = 0; g < Format::kGroups; ++g)
          store_vector(scales_of(b) + (Format::kGroups + g) * kVector, minimum[g]);
    }
  }
  G4_INLINE void prefetch(int64_t) const {}
  G4_INLINE void codes(int64_t b, Codes* out) const {
    for (int j = 0; j < 8; ++j) out[j] = load_vector<Codes>(memory + b * kBlockBytes + j * kVector);
  }
  G4_INLINE void scales(int64_t b, RowFloats* s, RowFloats* minimum) const {
    for (int g = 0; g < Format::kGroups; ++g) s[g] = load_vector<RowFloats>(scales_of(b) + g * kVector);
    if constexpr (Format::kMinimum)
      for (int g = 0; g < Format::kGroups; ++g)
        minimum[g] = load_vector<RowFloats>(scales_of(b) + (Format::kGroups + g) * kVector);
  }

 private:
  G4_INLINE std::byte* scales_of(int64_t b) const { return memory + b * kBlockBytes + kCodeBytes; }
};

// out[r] += ... for one token and two panels `panel_bytes` apart, whose sums share the loads of the activations' bytes
// (as many as the weights').
template <class Format>
static inline void dot_two_panels(const PanelPart& at, int64_t panel_bytes, int64_t blocks, const PanelActivations& a,
                                  int64_t token, int64_t first, float* out) {
  const PairedPanel<Format> w[2] = {{at, first}, {{at.panel + panel_bytes, at.blocks, at.part}, first}};
  TokenBlocks x = a.token(token, first);
  RowFloats acc[2] = {load_vector<RowFloats>(out), load_vector<RowFloats>(out + kPanelRows)};
  dot_blocks<Format, 1, 2>(w, blocks, &x, acc);
  store_vector(out, acc[0]);
  store_vector(out + kPanelRows, acc[1]);
}

// out[t * stride + r] += ... for `tokens` tokens from `token` on, as dot_blocks.
template <class Format, int kTokens, class Weights>
static inline void dot_tokens(const Weights& w, int64_t blocks, const PanelActivations& a, int64_t token,
                              int64_t tokens, int64_t first, float* out, int64_t stride) {
  int64_t t = 0;
  for (; t + kTokens <= tokens; t += kTokens) {
    TokenBlocks x[kTokens];
    RowFloats acc[kTokens];
    for (int i = 0; i < kTokens; ++i) {
      x[i] = a.token(token + t + i, first);
      acc[i] = load_vector<RowFloats>(out + (t + i) * stride);
    }
    if constexpr (kTokens == 1 && requires(Codes * run) { w.run_codes(0, 0, run); })
      dot_runs<Format>(w, blocks, x[0], acc);
    else
      dot_blocks<Format, kTokens, 1>(&w, blocks, x, acc);
    for (int i = 0; i < kTokens; ++i) store_vector(out + (t + i) * stride, acc[i]);
  }
  if constexpr (kTokens > 1)
    if (t < tokens)
      dot_tokens<Format, (kTokens > 4 ? 4 : 1)>(w, blocks, a, token + t, tokens - t, first, out + t * stride, stride);
}

}  // namespace g4::G4_ISA_NAMESPACE

// The products of every format's panels: as they lie for a few tokens, by decoded or unpacked stretches for many.
#include <type_traits>

#include "backends/cpu/kernels/panel_product.h"

namespace g4::G4_ISA_NAMESPACE {

// Blocks of a stretch: 1024 elements, whose unpacked codes stay in the nearest caches. Tiles take 4096 of two panels,
// 256 KiB of bfloat16 in the second-level cache, so that the sums are loaded and stored rarely.
static constexpr int64_t kStretch = 32, kHalfStretch = 128;

// Tokens whose sums fit the registers together.
static constexpr int kFewAtOnce = 4, kManyAtOnce = kLanes == 16 ? 8 : 4;

template <class Format>
static G4_INLINE int64_t format_blocks(int64_t k) {
  return k / Format::kBlock;
}

#if defined(__AVX512BF16__)
// Two panels at a time. A decoded stretch of both lies in scratch; bfloat16 panels (Format void) lie ready.
template <class Format>
static void half_product(const std::byte* panel, int64_t panel_bytes, int64_t panels, const PanelOperand& x,
                         int64_t token, int64_t tokens, float* out, int64_t stride, std::byte* scratch) {
  constexpr bool kReady = std::is_void_v<Format>;
  constexpr int64_t kBlockBytes = kBf16Block * 32;
#if defined(__AMX_BF16__)
  const TileScope tiles;
#endif
  const int64_t blocks = x.k / kBf16Block, most = kReady ? blocks : kHalfStretch;
  const int64_t next_tokens = half_offset(kTokenTile, 0, x.k);
  for (int64_t p = 0; p < panels; p += 2) {
    const bool two = p + 1 < panels;
    const std::byte* at = panel + p * panel_bytes;
    for (int64_t first = 0; first < blocks; first += most) {
      const int64_t count = blocks - first < most ? blocks - first : most;
      const std::byte* weights = at;
      int64_t apart = panel_bytes;
      if constexpr (!kReady) {
        weights = scratch;
        apart = count * kBlockBytes;
        const int64_t all = format_blocks<Format>(x.k);
        decode_panel(Format(PanelPart{at, all}), first, count, scratch);
        if (two) decode_panel(Format(PanelPart{at + panel_bytes, all}), first, count, scratch + apart);
      }
      const auto product = two ? multiply_halves<true> : multiply_halves<false>;
      product(weights, apart, count * kBf16Block, x.halves + half_offset(token, first * kBf16Block, x.k), next_tokens,
              tokens, out + p * kPanelRows, stride);
    }
  }
}
#endif

template <class Format>
static void quantized_product(const std::byte* panel, int64_t panel_bytes, int64_t panels, const PanelOperand& x,
                              int64_t token, int64_t tokens, float* out, int64_t stride, std::byte* scratch) {
#if defined(__AMX_BF16__)
  if (x.halves) return half_product<Format>(panel, panel_bytes, panels, x, token, tokens, out, stride, scratch);
#endif
  const PanelActivations& a = x.quantized;
  const int64_t all = format_blocks<Format>(x.k);
  // Parts take turns over stretches that stay in the nearest caches; one part needs no turns.
  const int64_t most = kParts == 1 && tokens <= kFewTokens ? a.blocks : kStretch;
  int64_t p = 0;
  if constexpr (kPairs<Format>)
    for (; a.paired && tokens == 1 && p + 2 <= panels; p += 2)
      for (int64_t first = 0; first < a.blocks; first += most)
        for (int part = 0; part < kParts; ++part)
          dot_two_panels<Format>({panel + p * panel_bytes, all, part}, panel_bytes,
                                 a.blocks - first < most ? a.blocks - first : most, a, token, first,
                                 out + p * kPanelRows + part * kLanes);
  for (; p < panels; ++p)
    for (int64_t first = 0; first < a.blocks; first += most) {
      const int64_t blocks = a.blocks - first < most ? a.blocks - first : most;
      for (int part = 0; part < kParts; ++part) {
        const PanelPart at{panel + p * panel_bytes, all, part};
        float* rows = out + p * kPanelRows + part * kLanes;
        if (kPairs<Format> && a.paired) {
          if constexpr (kPairs<Format>)
            dot_tokens<Format, kFewAtOnce>(PairedPanel<Format>(at, first), blocks, a, token, tokens, first, rows,
                                           stride);
        } else if (tokens <= kFewTokens) {
          dot_tokens<Format, kFewAtOnce>(StreamedPanel<Format>(at, first), blocks, a, token, tokens, first, rows,
                                         stride);
        } else {
          const UnpackedPanel<Format> weights{scratch, blocks};
          weights.unpack(Format(at), first);
          dot_tokens<Format, kManyAtOnce>(weights, blocks, a, token, tokens, first, rows, stride);
        }
      }
    }
}

// Activations in rows of float32, or of bfloat16 where products take those.
template <class Number>
static void bf16_rows(const std::byte* panel, int64_t panel_bytes, int64_t panels, const Number* x, int64_t k,
                      int64_t tokens, float* out, int64_t stride) {
  const int64_t most = kParts == 1 ? k : kStretch * kBf16Block;
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t first = 0; first < k; first += most) {
      const int64_t count = k - first < most ? k - first : most;
      for (int part = 0; part < kParts; ++part)
        dot_bf16_tokens<kManyAtOnce>(panel + p * panel_bytes + first * 32 + part * kLanes * 4, part == 0, count,
                                     x + first, k, tokens, out + p * kPanelRows + part * kLanes, stride);
    }
}

static void bf16_product(const std::byte* panel, int64_t panel_bytes, int64_t panels, const PanelOperand& x,
                         int64_t token, int64_t tokens, float* out, int64_t stride, std::byte* scratch) {
#if defined(__AVX512BF16__)
  if (x.halves) return half_product<void>(panel, panel_bytes, panels, x, token, tokens, out, stride, scratch);
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  const auto* halves = reinterpret_cast<const uint16_t*>(x.halves);
  if (halves) return bf16_rows(panel, panel_bytes, panels, halves + token * x.k, x.k, tokens, out, stride);
#endif
  (void)scratch;
  bf16_rows(panel, panel_bytes, panels, x.floats + token * x.k, x.k, tokens, out, stride);
}

template <class Format>
static constexpr PanelKernel quantized_kernel(DType dtype) {
  constexpr int64_t kVectors = kStretch * UnpackedPanel<Format>::kBlockBytes;
  constexpr int64_t kHalves = kHasTiles ? kHalfStretch * 2 * kBf16Block * 32 : 0;
  return {dtype,          Format::kGroups,           kSumFactor<Format>,
          kPairs<Format>, quantized_product<Format>, kHalves > kVectors ? kHalves : kVectors};
}

template <DType... kTypes>
struct QuantizedPanels {
  static constexpr PanelKernel kEntries[] = {quantized_kernel<PanelFormat<kTypes>>(kTypes)...};
};
using AllQuantizedPanels =
    QuantizedPanels<DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q2_K, DType::Q3_K,
                    DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS, DType::MXFP4>;
static constexpr PanelKernel kBf16Panels{DType::BF16, 0, 0, false, bf16_product, 0};

// nullptr where a format has no panels.
const PanelKernel* panel_kernel(DType dtype) {
  if (!kHasPanels) return nullptr;
  if (dtype == DType::BF16) return &kBf16Panels;
  for (const PanelKernel& kernel : AllQuantizedPanels::kEntries)
    if (kernel.dtype == dtype) return &kernel;
  return nullptr;
}

}  // namespace g4::G4_ISA_NAMESPACE

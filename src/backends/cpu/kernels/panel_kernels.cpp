// The products of every format's panels: by vectors for a few tokens, by tiles or unpacked stretches for many.
#include "backends/cpu/kernels/panel_product.h"

namespace g4::G4_ISA_NAMESPACE {

// Blocks of a stretch: 1024 elements, whose unpacked codes stay in the caches.
static constexpr int64_t kStretch = 32;

template <class Format>
static void quantized_product(const std::byte* panel, int64_t panel_bytes, int64_t panels, const PanelOperand& x,
                              int64_t token, int64_t tokens, float* out, int64_t stride, std::byte* scratch) {
  const PanelActivations& a = x.quantized;
  if (tokens <= kFewTokens) {
    for (int64_t p = 0; p < panels; ++p)
      dot_tokens<Format, 4>(StreamedPanel<Format>(panel + p * panel_bytes, x.k), a.blocks, a, token, tokens, 0,
                            out + p * kPanelRows, stride);
    return;
  }
  for (int64_t first = 0; first < a.blocks; first += kStretch) {
    const int64_t blocks = a.blocks - first < kStretch ? a.blocks - first : kStretch;
    for (int64_t p = 0; p < panels; ++p) {
      const Format format(panel + p * panel_bytes, x.k);
#if defined(__AMX_INT8__)
      const TilePanel<Format> weights{scratch, blocks};
      weights.unpack(format, first);
      for (int64_t t = 0; t < tokens; t += kTokenTile)
        tile_tokens<Format>(weights, a, token + t, first, out + t * stride + p * kPanelRows, stride);
#else
      const UnpackedPanel<Format> weights{scratch, blocks};
      weights.unpack(format, first);
      dot_tokens<Format, 8>(weights, blocks, a, token, tokens, first, out + p * kPanelRows, stride);
#endif
    }
  }
}

#if defined(__AMX_BF16__)
// Tokens [token, token + 32) of a tile pair, or the 16 of one tile, by all panels.
template <bool kTwoTokenTiles>
static inline void bf16_token_tiles(const std::byte* panel, int64_t panel_bytes, int64_t panels, int64_t k,
                                    const std::byte* x, float* out, int64_t stride) {
  int64_t p = 0;
  for (; p + 2 <= panels; p += 2)
    tile_bf16<true, kTwoTokenTiles>(panel + p * panel_bytes, panel_bytes, k, x, out + p * kPanelRows, stride);
  if (p < panels)
    tile_bf16<false, kTwoTokenTiles>(panel + p * panel_bytes, panel_bytes, k, x, out + p * kPanelRows, stride);
}
#endif

static inline void bf16_product(const std::byte* panel, int64_t panel_bytes, int64_t panels, const PanelOperand& x,
                                int64_t token, int64_t tokens, float* out, int64_t stride, std::byte*) {
#if defined(__AMX_BF16__)
  if (tokens > kFewTokens) {
    for (int64_t t = 0; t < tokens; t += 2 * kTokenTile) {
      const auto product = t + kTokenTile < tokens ? bf16_token_tiles<true> : bf16_token_tiles<false>;
      product(panel, panel_bytes, panels, x.k, x.halves + half_offset(token + t, 0, x.k), out + t * stride, stride);
    }
    return;
  }
#endif
  for (int64_t p = 0; p < panels; ++p)
    dot_bf16_tokens<8>(panel + p * panel_bytes, x.k, x.floats + token * x.k, x.k, tokens, out + p * kPanelRows, stride);
}

template <class Format>
static constexpr PanelKernel quantized_kernel(DType dtype) {
#if defined(__AMX_INT8__)
  constexpr int64_t kBlockBytes = TilePanel<Format>::kBlockBytes;
  constexpr int kDepth = TilePanel<Format>::kDepth;
#else
  constexpr int64_t kBlockBytes = UnpackedPanel<Format>::kBlockBytes;
  constexpr int kDepth = 0;
#endif
  return {dtype, Format::kGroups, kSumFactor<Format>, quantized_product<Format>, kStretch * kBlockBytes, kDepth};
}

template <DType... kTypes>
struct QuantizedPanels {
  static constexpr PanelKernel kEntries[] = {quantized_kernel<PanelFormat<kTypes>>(kTypes)...};
};
using AllQuantizedPanels = QuantizedPanels<DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q4_K,
                                           DType::Q5_K, DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS, DType::MXFP4>;
static constexpr PanelKernel kBf16Panels{DType::BF16, 0, 0, bf16_product, 0, 16};

// nullptr where a format has no panels.
const PanelKernel* panel_kernel(DType dtype) {
  if (!kHasPanels) return nullptr;
  if (dtype == DType::BF16) return &kBf16Panels;
  for (const PanelKernel& kernel : AllQuantizedPanels::kEntries)
    if (kernel.dtype == dtype) return &kernel;
  return nullptr;
}

}  // namespace g4::G4_ISA_NAMESPACE

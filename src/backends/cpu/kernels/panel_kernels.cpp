// The products of every format's panels: by vectors for a few tokens, by tiles or unpacked stretches for many.
#include <type_traits>

#include "backends/cpu/kernels/panel_product.h"

namespace g4::G4_ISA_NAMESPACE {

// Blocks of a stretch. Vectors: 1024 elements, whose unpacked codes stay in the nearest caches; tiles: 4096 of two
// panels, 256 KiB of bfloat16 in the second-level cache, so that the sums are loaded and stored rarely.
static constexpr int64_t kStretch = 32, kTileStretch = 128;

#if defined(__AMX_BF16__)
// By tiles, two panels at a time. A decoded stretch of both lies in scratch; bfloat16 panels (Format void) lie ready.
template <class Format>
static void tile_product(const std::byte* panel, int64_t panel_bytes, int64_t panels, const PanelOperand& x,
                         int64_t token, int64_t tokens, float* out, int64_t stride, std::byte* scratch) {
  constexpr bool kReady = std::is_void_v<Format>;
  constexpr int64_t kBlockBytes = kBf16Block * 32;
  const TileScope tiles;
  const int64_t blocks = x.k / kBf16Block, most = kReady ? blocks : kTileStretch;
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
        decode_panel(Format(at, x.k), first, count, scratch);
        if (two) decode_panel(Format(at + panel_bytes, x.k), first, count, scratch + apart);
      }
      const auto product = two ? tile_tokens<true> : tile_tokens<false>;
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
  if (x.halves) return tile_product<Format>(panel, panel_bytes, panels, x, token, tokens, out, stride, scratch);
#endif
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
      const UnpackedPanel<Format> weights{scratch, blocks};
      weights.unpack(Format(panel + p * panel_bytes, x.k), first);
      dot_tokens<Format, 8>(weights, blocks, a, token, tokens, first, out + p * kPanelRows, stride);
    }
  }
}

static inline void bf16_product(const std::byte* panel, int64_t panel_bytes, int64_t panels, const PanelOperand& x,
                                int64_t token, int64_t tokens, float* out, int64_t stride, std::byte* scratch) {
#if defined(__AMX_BF16__)
  if (x.halves) return tile_product<void>(panel, panel_bytes, panels, x, token, tokens, out, stride, scratch);
#endif
  (void)scratch;
  for (int64_t p = 0; p < panels; ++p)
    dot_bf16_tokens<8>(panel + p * panel_bytes, x.k, x.floats + token * x.k, x.k, tokens, out + p * kPanelRows, stride);
}

template <class Format>
static constexpr PanelKernel quantized_kernel(DType dtype) {
  constexpr int64_t kVectors = kStretch * UnpackedPanel<Format>::kBlockBytes;
  constexpr int64_t kTiles = kHasTiles ? kTileStretch * 2 * kBf16Block * 32 : 0;
  return {dtype, Format::kGroups, kSumFactor<Format>, quantized_product<Format>, kTiles > kVectors ? kTiles : kVectors};
}

template <DType... kTypes>
struct QuantizedPanels {
  static constexpr PanelKernel kEntries[] = {quantized_kernel<PanelFormat<kTypes>>(kTypes)...};
};
using AllQuantizedPanels = QuantizedPanels<DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q4_K,
                                           DType::Q5_K, DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS, DType::MXFP4>;
static constexpr PanelKernel kBf16Panels{DType::BF16, 0, 0, bf16_product, 0};

// nullptr where a format has no panels.
const PanelKernel* panel_kernel(DType dtype) {
  if (!kHasPanels) return nullptr;
  if (dtype == DType::BF16) return &kBf16Panels;
  for (const PanelKernel& kernel : AllQuantizedPanels::kEntries)
    if (kernel.dtype == dtype) return &kernel;
  return nullptr;
}

}  // namespace g4::G4_ISA_NAMESPACE

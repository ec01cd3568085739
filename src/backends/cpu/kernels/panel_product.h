// Matrices in panels (panels.h) times a list of tokens: what matmul and expert_matmul share. Activations are prepared
// once (quantised, or kept as bfloat16 and float32); a task then multiplies some panels with all tokens of a range.
#pragma once

#include "backends/cpu/kernels/held_rows.h"
#include "backends/cpu/kernels/panel_halves.h"

namespace g4::G4_ISA_NAMESPACE {

// Up to this many tokens weights are read straight from the panel; above, a stretch of it is unpacked once.
inline constexpr int64_t kFewTokens = 4;

// One matrix product's activations: `quantized`, or for bfloat16 panels `floats` [rows, k], or `halves` (half_offset),
// whose products begin at whole tiles.
struct PanelOperand {
  PanelActivations quantized;
  float* floats;
  std::byte* halves;  // or nullptr
  int64_t k;
};

// What the kernels know of a format.
struct PanelKernel {
  DType dtype;
  int64_t groups;      // 0: bfloat16
  int32_t sum_factor;  // see quantize_row
  bool pairs;          // few tokens may be paired activations
  // out[t * stride + r] (zeroed) += panels [0, panels), panel_bytes apart, times tokens [token, token + tokens).
  void (*product)(const std::byte* panel, int64_t panel_bytes, int64_t panels, const PanelOperand& x, int64_t token,
                  int64_t tokens, float* out, int64_t stride, std::byte* scratch);
  int64_t stretch_bytes;  // of scratch for each product
};

// Whether the same prepared activations serve both.
static G4_INLINE bool same_operand(const PanelKernel& a, const PanelKernel& b) {
  return a.groups == b.groups && a.sum_factor == b.sum_factor && a.pairs == b.pairs;
}

// nullptr where a format has no panels on this instruction set. Defined in panel_kernels.cpp.
const PanelKernel* panel_kernel(DType dtype);

static G4_INLINE int64_t align64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

static G4_INLINE int64_t whole_tiles(int64_t tokens) { return (tokens + kTokenTile - 1) / kTokenTile * kTokenTile; }

// Whether bfloat16 activations meet bfloat16 weights as such. Tiles take whatever format, decoded, but not for few
// tokens: then vectors read the weights as they lie, bfloat16 ones in the tiles' order of sums. Vectors of pairs take
// bfloat16 panels only: bytes multiply as fast as pairs do.
static G4_INLINE bool takes_halves(const PanelKernel& kernel, DType x, int64_t tokens) {
  return kHasHalves && x == DType::BF16 && (kHasTiles ? tokens > kFewTokens : kernel.groups == 0);
}

// Bytes of an operand of `rows` activations, and the operand in such memory. `tokens`: the most of a product.
static inline int64_t operand_bytes(const PanelKernel& kernel, int64_t rows, int64_t k, bool halves) {
  if (halves) return whole_tiles(rows) * k * 2;
  if (kernel.groups) return align64(activation_bytes(rows, k / kActBlock, kernel.groups));
  return align64(rows * k * 4);
}
static inline PanelOperand operand_at(const PanelKernel& kernel, std::byte* memory, int64_t rows, int64_t k,
                                      int64_t tokens, bool halves) {
  if (halves) return {{}, nullptr, memory, k};
  if (kernel.groups) {
    const bool paired = kernel.pairs && tokens <= kFewTokens;
    return {activations_at(memory, rows, k / kActBlock, kernel.groups, paired), nullptr, nullptr, k};
  }
  return {{}, reinterpret_cast<float*>(memory), nullptr, k};
}

// Prepares row `r` of x, held to bounds, as activation t; `buffer` holds k floats.
static inline void prepare_row(const PanelKernel& kernel, const KernelTensor& x, int64_t r, const PanelOperand& operand,
                               int64_t t, float* buffer, const HeldRows& bounds = {}) {
  const int64_t k = operand.k;
  if (kHasHalves && operand.halves) {
    const std::byte* row = x.row(r);
    for (int64_t i = 0; i < k; i += kBf16Block) {
      std::byte* to = operand.halves + half_offset(t, i, k);
      if (bounds.any)
        bounds.copy_halves<kBf16Block>(row + i * 2, to);
      else
        __builtin_memcpy(to, row + i * 2, kBf16Block * 2);
    }
    return;
  }
  const float* floats = bounds.floats_of(x, r, buffer);
  if (kernel.groups) return quantize_row(floats, kernel.sum_factor, operand.quantized, t);
  __builtin_memcpy(operand.floats + t * k, floats, static_cast<size_t>(k) * 4);
}

// Of a product of activations with weights in rows or panels.
static inline bool product_supported(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &w = call.in[1];
  if (!is_activation(x.dtype) || !is_activation(call.out[0].dtype)) return false;
  if (!w.panels) return weight_decoder(w.dtype) != nullptr;
  const PanelKernel* kernel = panel_kernel(w.dtype);
  return kernel && w.cols % kActBlock == 0 && (kernel->groups || x.dtype == DType::BF16);
}

// What each thread needs besides the operand, in bytes: a row of floats while it prepares activations, then a stretch
// and the result [tokens, columns] of a task.
struct PanelScratch {
  int64_t stretch, total;
};
static inline PanelScratch panel_scratch(const PanelKernel& kernel, int64_t k, int64_t tokens, int64_t columns) {
  const int64_t stretch = align64(kernel.stretch_bytes), product = stretch + whole_tiles(tokens) * columns * 4;
  return {stretch, align64(product > k * 4 ? product : k * 4)};
}

// Panels of one task: enough work to hand out, few enough that results and unpacked weights stay in the cache. An even
// number where there are enough: tiles and single tokens take two at a time.
static G4_INLINE int64_t panels_per_task(int64_t panels, int64_t panel_bytes, int64_t tokens, int64_t threads) {
  const bool few = tokens <= kFewTokens;
  const int64_t wanted = few ? 64 * 1024 / panel_bytes : 8;
  const int64_t fair = panels / (threads * 4), least = few && panels < threads * 4 ? 1 : 2;
  const int64_t most = (fair < wanted ? fair : wanted) / least * least;
  return most < least ? least : (most > 16 ? 16 : most);
}

// Tokens of one task, where too few groups of panels would leave threads without work: the panels of a task are decoded
// once for each share, so a share is no smaller than 64.
static G4_INLINE int64_t tokens_per_task(int64_t tokens, int64_t groups, int64_t threads) {
  const int64_t shares = (threads * 3 + groups - 1) / groups, pair = 2 * kTokenTile;
  const int64_t fair = (tokens / shares + pair - 1) / pair * pair;
  const int64_t most = fair > 64 ? fair : 64;
  return most < tokens ? most : tokens;
}

// One task's product: see PanelKernel::product.
static inline void run_product(const PanelKernel& kernel, const std::byte* panel, int64_t panel_bytes, int64_t panels,
                               const PanelOperand& x, int64_t token, int64_t tokens, float* out, int64_t stride,
                               std::byte* scratch) {
  const int64_t padded = x.halves ? whole_tiles(tokens) : tokens;
  for (int64_t i = 0; i < padded; ++i)
    for (int64_t j = 0; j < panels * kPanelRows; ++j) out[i * stride + j] = 0;
  kernel.product(panel, panel_bytes, panels, x, token, tokens, out, stride, scratch);
}

}  // namespace g4::G4_ISA_NAMESPACE

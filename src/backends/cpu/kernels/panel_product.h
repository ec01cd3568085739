// Matrices in panels (panels.h) times a list of tokens: what matmul and expert_matmul share. Activations are prepared
// once (quantised, or kept as bfloat16 and float32); a task then multiplies some panels with all tokens of a range.
#pragma once

#include "backends/cpu/kernels/panel_bf16.h"

namespace g4::G4_ISA_NAMESPACE {

// Up to this many tokens weights are read straight from the panel; above, a stretch of it is unpacked once.
inline constexpr int64_t kFewTokens = 4;

// One matrix product's activations. For more than kFewTokens they lie in tiles, and products begin at whole tiles.
struct PanelOperand {
  PanelActivations quantized;
  float* floats;      // of bfloat16 panels: [rows, k]
  std::byte* halves;  // and as bfloat16 where tiles read them, else nullptr
  int64_t k;
};

// What the kernels know of a format.
struct PanelKernel {
  DType dtype;
  int64_t groups;      // 0: bfloat16
  int32_t sum_factor;  // see quantize_row
  // out[t * stride + r] (zeroed) += panels [0, panels), panel_bytes apart, times tokens [token, token + tokens).
  void (*product)(const std::byte* panel, int64_t panel_bytes, int64_t panels, const PanelOperand& x, int64_t token,
                  int64_t tokens, float* out, int64_t stride, std::byte* scratch);
  int64_t stretch_bytes;  // of scratch for each product
  int tile_depth;         // see TileScope
};

// nullptr where a format has no panels on this instruction set. Defined in panel_kernels.cpp.
const PanelKernel* panel_kernel(DType dtype);

static G4_INLINE int64_t align64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

static G4_INLINE int64_t whole_tiles(int64_t tokens) { return (tokens + kTokenTile - 1) / kTokenTile * kTokenTile; }

// Bytes of an operand of `rows` activations, and the operand in such memory.
static inline int64_t operand_bytes(const PanelKernel& kernel, int64_t rows, int64_t k) {
  rows = whole_tiles(rows);
  if (kernel.groups) return align64(activation_bytes(rows, k / kActBlock, kernel.groups));
  return align64(rows * k * 4) + (kHasTiles ? align64(rows * k * 2) : 0);
}
static inline PanelOperand operand_at(const PanelKernel& kernel, std::byte* memory, int64_t rows, int64_t k,
                                      bool tiled) {
  rows = whole_tiles(rows);
  if (kernel.groups) return {activations_at(memory, rows, k / kActBlock, kernel.groups, tiled), nullptr, nullptr, k};
  std::byte* halves = kHasTiles && tiled ? memory + align64(rows * k * 4) : nullptr;
  return {{}, reinterpret_cast<float*>(memory), halves, k};
}

// Prepares row `r` of x as activation t; `buffer` holds k floats and as many bfloat16.
static inline void prepare_row(const PanelKernel& kernel, const KernelTensor& x, int64_t r, const PanelOperand& operand,
                               int64_t t, float* buffer) {
  const int64_t k = operand.k;
  const float* floats = floats_of(x, r, buffer);
  if (kernel.groups) return quantize_row(floats, kernel.sum_factor, operand.quantized, t);
  __builtin_memcpy(operand.floats + t * k, floats, static_cast<size_t>(k) * 4);
  if (!operand.halves) return;
  auto* halves = reinterpret_cast<std::byte*>(buffer + k);
  store_floats(floats, halves, DType::BF16, k);
  for (int64_t i = 0; i < k; i += kBf16Block)
    __builtin_memcpy(operand.halves + half_offset(t, i, k), halves + i * 2, kBf16Block * 2);
}

// Of a product of activations with weights in rows or panels.
static inline bool product_supported(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &w = call.in[1];
  if (!is_activation(x.dtype) || !is_activation(call.out[0].dtype)) return false;
  if (!w.panels) return weight_decoder(w.dtype) != nullptr;
  const PanelKernel* kernel = panel_kernel(w.dtype);
  return kernel && w.cols % kActBlock == 0 && (kernel->groups || x.dtype == DType::BF16);
}

// What each thread needs besides the operand, in bytes: a row of floats and of bfloat16 while it prepares activations,
// then a stretch and the result [tokens, columns] of a task.
struct PanelScratch {
  int64_t stretch, total;
};
static inline PanelScratch panel_scratch(const PanelKernel& kernel, int64_t k, int64_t tokens, int64_t columns) {
  const int64_t stretch = align64(kernel.stretch_bytes), product = stretch + whole_tiles(tokens) * columns * 4;
  return {stretch, align64(product > k * 6 ? product : k * 6)};
}

// Panels of one task: enough work to hand out, few enough that results and unpacked weights stay in the cache.
static G4_INLINE int64_t panels_per_task(int64_t panels, int64_t panel_bytes, int64_t tokens, int64_t threads) {
  const int64_t wanted = tokens <= kFewTokens ? 64 * 1024 / panel_bytes : 8;
  const int64_t fair = panels / (threads * 4);
  const int64_t most = fair < wanted ? fair : wanted;
  return most < 1 ? 1 : (most > 16 ? 16 : most);
}

// One task's product, with tiles in shape: see PanelKernel::product.
static inline void run_product(const PanelKernel& kernel, const std::byte* panel, int64_t panel_bytes, int64_t panels,
                               const PanelOperand& x, int64_t token, int64_t tokens, float* out, int64_t stride,
                               std::byte* scratch) {
  const int64_t padded = tokens <= kFewTokens ? tokens : whole_tiles(tokens);
  for (int64_t i = 0; i < padded; ++i)
    for (int64_t j = 0; j < panels * kPanelRows; ++j) out[i * stride + j] = 0;
#if defined(__AMX_INT8__)
  if (tokens > kFewTokens) {
    const TileScope tiles(kernel.tile_depth);
    return kernel.product(panel, panel_bytes, panels, x, token, tokens, out, stride, scratch);
  }
#endif
  kernel.product(panel, panel_bytes, panels, x, token, tokens, out, stride, scratch);
}

}  // namespace g4::G4_ISA_NAMESPACE

#include "backends/cuda/launch.h"
#include "backends/cuda/panel_fields.cuh"
#include "backends/cuda/panels.h"

namespace g4::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 1 << 20;

// One thread copies one byte; neighbours write neighbouring bytes of a panel.
__global__ void pack(DType dtype, int64_t blocks, int64_t bytes, const std::byte* rows, std::byte* panels) {
  const PanelFields fields = panel_fields(dtype);
  const int block_bytes = bytes_of_block(dtype);
  const int64_t row_bytes = blocks * block_bytes, panel_bytes = row_bytes * kPanelRows;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < bytes;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const int64_t panel = i / panel_bytes;
    int64_t at = i - panel * panel_bytes;
    int f = 0;
    PanelField field = fields.field[0];
    for (; f + 1 < fields.count; ++f) {
      const int64_t size = blocks * field.unit * field.count * kPanelRows;
      if (at < size) break;
      at -= size;
      field = fields.field[f + 1];
    }
    const int64_t unit = at / (field.unit * kPanelRows);  // of the field, over all blocks
    const int in_unit = static_cast<int>(at - unit * field.unit * kPanelRows);
    const int row = in_unit / field.unit, byte = in_unit % field.unit;
    const int64_t block = unit / field.count;
    const int64_t from = block * block_bytes + field.offset + (unit - block * field.count) * field.unit + byte;
    panels[i] = rows[(panel * kPanelRows + row) * row_bytes + from];
  }
}

}  // namespace

bool has_panels(DType dtype, const Shape& shape, WeightUse use, DType activations) {
  if (use != WeightUse::Matrix || (activations != DType::BF16 && activations != DType::F16)) return false;
  if (shape.rank() < 2 || shape[-2] % kPanelRows || shape[-1] % elements_of_block(dtype)) return false;
  return panel_fields(dtype).count > 0;
}

void pack_panels(DType dtype, int64_t rows, int64_t cols, const std::byte* device_rows, std::byte* device_panels,
                 cudaStream_t stream) {
  const int64_t blocks = cols / elements_of_block(dtype), bytes = rows * blocks * bytes_of_block(dtype);
  if (!bytes) return;
  const int64_t needed = (bytes + kThreads - 1) / kThreads;
  pack<<<static_cast<unsigned>(needed < kMostBlocks ? needed : kMostBlocks), kThreads, 0, stream>>>(
      dtype, blocks, bytes, device_rows, device_panels);
  check_launch("pack_panels");
}

}  // namespace g4::cuda

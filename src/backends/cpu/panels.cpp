#include "backends/cpu/panels.h"

#include <cstring>

namespace g4 {
namespace {

// A pair of 16-bit floats is a block of its own here.
constexpr PanelField kHalves[] = {{0, 4, 1}};
constexpr PanelField kQ8_0[] = {{0, 2, 1}, {2, 4, 8}};
constexpr PanelField kQ4_0[] = {{0, 2, 1}, {2, 4, 4}};
constexpr PanelField kQ4_1[] = {{0, 2, 1}, {2, 2, 1}, {4, 4, 4}};
constexpr PanelField kQ5_0[] = {{0, 2, 1}, {2, 4, 1}, {6, 4, 4}};
constexpr PanelField kQ5_1[] = {{0, 2, 1}, {2, 2, 1}, {4, 4, 1}, {8, 4, 4}};
constexpr PanelField kQ2_K[] = {{0, 1, 16}, {16, 4, 16}, {80, 2, 1}, {82, 2, 1}};
constexpr PanelField kQ3_K[] = {{0, 4, 8}, {32, 4, 16}, {96, 1, 12}, {108, 2, 1}};
constexpr PanelField kQ4_K[] = {{0, 2, 1}, {2, 2, 1}, {4, 1, 12}, {16, 4, 32}};
constexpr PanelField kQ5_K[] = {{0, 2, 1}, {2, 2, 1}, {4, 1, 12}, {16, 4, 8}, {48, 4, 32}};
constexpr PanelField kQ6_K[] = {{0, 4, 32}, {128, 4, 16}, {192, 1, 16}, {208, 2, 1}};
constexpr PanelField kIQ4_XS[] = {{0, 2, 1}, {2, 2, 1}, {4, 1, 4}, {8, 4, 32}};
constexpr PanelField kMXFP4[] = {{0, 1, 1}, {1, 4, 4}};

int64_t panel_block_bytes(DType dtype) { return dtype == DType::BF16 ? 4 : block_bytes(dtype); }

// Calls unit(byte of a row, byte of row 0 in the panel, unit size) for every unit of a row.
template <class Visit>
void visit_units(DType dtype, int64_t row_bytes, const Visit& visit) {
  const int64_t bytes = panel_block_bytes(dtype), blocks = row_bytes / bytes;
  int64_t region = 0;
  for (const PanelField& field : panel_fields(dtype)) {
    for (int64_t b = 0; b < blocks; ++b)
      for (int64_t u = 0; u < field.count; ++u)
        visit(b * bytes + field.offset + u * field.unit, region + (b * field.count + u) * field.unit * kPanelRows,
              field.unit);
    region += blocks * field.count * field.unit * kPanelRows;
  }
}

template <int kUnit>
void gather_unit(const std::byte* from, int64_t row_stride, std::byte* to) {
  for (int r = 0; r < kPanelRows; ++r) std::memcpy(to + r * kUnit, from + r * row_stride, kUnit);
}

}  // namespace

std::span<const PanelField> panel_fields(DType dtype) {
  switch (dtype) {
    case DType::BF16:
      return kHalves;
    case DType::Q8_0:
      return kQ8_0;
    case DType::Q4_0:
    case DType::IQ4_NL:
      return kQ4_0;
    case DType::Q4_1:
      return kQ4_1;
    case DType::Q5_0:
      return kQ5_0;
    case DType::Q5_1:
      return kQ5_1;
    case DType::Q2_K:
      return kQ2_K;
    case DType::Q3_K:
      return kQ3_K;
    case DType::Q4_K:
      return kQ4_K;
    case DType::Q5_K:
      return kQ5_K;
    case DType::Q6_K:
      return kQ6_K;
    case DType::IQ4_XS:
      return kIQ4_XS;
    case DType::MXFP4:
      return kMXFP4;
    default:
      return {};
  }
}

void pack_panel(DType dtype, const std::byte* rows, int64_t row_stride, int64_t row_bytes, std::byte* panel) {
  visit_units(dtype, row_bytes, [&](int64_t from, int64_t to, int64_t unit) {
    if (unit == 4)
      gather_unit<4>(rows + from, row_stride, panel + to);
    else if (unit == 2)
      gather_unit<2>(rows + from, row_stride, panel + to);
    else
      gather_unit<1>(rows + from, row_stride, panel + to);
  });
}

void unpack_row(DType dtype, const std::byte* panel, int64_t row, int64_t row_bytes, std::byte* out) {
  visit_units(dtype, row_bytes, [&](int64_t to, int64_t from, int64_t unit) {
    std::memcpy(out + to, panel + from + row * unit, static_cast<size_t>(unit));
  });
}

}  // namespace g4

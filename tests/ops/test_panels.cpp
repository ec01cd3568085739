// Packing into panels and back: every byte of 16 rows lies in their panel exactly once, the rows' units side by side.
#include <random>
#include <vector>

#include "backends/cpu/panels.h"
#include "base/error.h"
#include "check.h"
#include "ops/panel_layouts.h"

namespace g4 {
namespace {

using Bytes = std::vector<std::byte>;

constexpr int64_t kColumns = 768;
constexpr int64_t kGap = 5;  // between rows

// 16 rows whose byte `i` of row `r` is make(r * row_bytes + i), the gaps aside; packed.
template <class Make>
Bytes packed(DType dtype, const Make& make) {
  const int64_t bytes = row_bytes(dtype, kColumns), stride = bytes + kGap;
  Bytes rows(static_cast<size_t>(kPanelRows * stride - kGap)), panel(static_cast<size_t>(kPanelRows * bytes));
  for (int64_t r = 0; r < kPanelRows; ++r)
    for (int64_t i = 0; i < bytes; ++i) rows[static_cast<size_t>(r * stride + i)] = make(r * bytes + i);
  pack_panel(dtype, rows.data(), stride, bytes, panel.data());
  return panel;
}

// Where each byte of a panel comes from: row * row_bytes + byte.
std::vector<int64_t> sources(DType dtype) {
  const Bytes low = packed(dtype, [](int64_t i) { return static_cast<std::byte>(i & 255); });
  const Bytes high = packed(dtype, [](int64_t i) { return static_cast<std::byte>(i >> 8); });
  std::vector<int64_t> from;
  for (size_t i = 0; i < low.size(); ++i)
    from.push_back(std::to_integer<int64_t>(low[i]) | std::to_integer<int64_t>(high[i]) << 8);
  return from;
}

}  // namespace

TEST(rows_come_back) {
  std::mt19937 random(3);
  for (const DType dtype : test::kPanelFormats) {
    const int64_t bytes = row_bytes(dtype, kColumns);
    Bytes rows(static_cast<size_t>(kPanelRows * bytes));
    for (std::byte& b : rows) b = static_cast<std::byte>(random() & 255u);
    const Bytes panel = packed(dtype, [&](int64_t i) { return rows[static_cast<size_t>(i)]; });
    for (int64_t r = 0; r < kPanelRows; ++r) {
      Bytes row(static_cast<size_t>(bytes));
      unpack_row(dtype, panel.data(), r, bytes, row.data());
      if (!std::equal(row.begin(), row.end(), rows.begin() + r * bytes))
        test::report(__FILE__, __LINE__, concat(name(dtype), ": row ", r, " comes back changed"));
    }
  }
}

TEST(panel_is_a_permutation) {
  for (const DType dtype : test::kPanelFormats) {
    const std::vector<int64_t> from = sources(dtype);
    CHECK(from.size() <= 65536);
    std::vector<int> times(from.size());
    for (const int64_t i : from)
      if (i < static_cast<int64_t>(times.size())) ++times[static_cast<size_t>(i)];
    for (size_t i = 0; i < times.size(); ++i)
      if (times[i] != 1) {
        test::report(__FILE__, __LINE__, concat(name(dtype), ": byte ", i, " lies in the panel ", times[i], " times"));
        break;
      }
  }
}

// The documented order: field after field, of it block after block, unit after unit, row after row.
TEST(units_of_rows_lie_side_by_side) {
  for (const DType dtype : test::kPanelFormats) {
    const std::vector<int64_t> from = sources(dtype);
    const int64_t bytes = row_bytes(dtype, kColumns);
    const int64_t block = dtype == DType::BF16 ? 4 : block_bytes(dtype);
    std::vector<int64_t> expected;
    for (const PanelField& field : panel_fields(dtype))
      for (int64_t b = 0; b < bytes / block; ++b)
        for (int64_t u = 0; u < field.count; ++u)
          for (int64_t r = 0; r < kPanelRows; ++r)
            for (int64_t i = 0; i < field.unit; ++i)
              expected.push_back(r * bytes + b * block + field.offset + u * field.unit + i);
    if (from != expected) test::report(__FILE__, __LINE__, concat(name(dtype), ": another order"));
  }
}

TEST(other_formats_have_none) {
  for (const DType dtype : {DType::F32, DType::F16, DType::I32}) CHECK(panel_fields(dtype).empty());
}

}  // namespace g4

G4_TEST_MAIN

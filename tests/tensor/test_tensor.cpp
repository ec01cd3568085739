// The dtype table, shapes, strides and views.
#include <set>

#include "base/error.h"
#include "check.h"
#include "tensor/quant/decode.h"
#include "tensor/tensor.h"

namespace g4 {
namespace {

template <DType... kTypes>
void check_block_sizes() {
  int formats = 0;
  const auto check = [&](DType dtype, int64_t elements, size_t bytes) {
    CHECK_EQ(block_size(dtype), elements);
    CHECK_EQ(block_bytes(dtype), static_cast<int64_t>(bytes));
    ++formats;
  };
  (check(kTypes, generic::BlockDecoder<kTypes>::kElements, sizeof(typename generic::BlockDecoder<kTypes>::Block)), ...);
  CHECK_EQ(formats, 16);
}

}  // namespace

TEST(dtype_table_is_indexed_by_dtype) {
  std::set<uint32_t> ids;
  int index = 0;
  for (const DTypeInfo& t : all_dtypes()) {
    CHECK_EQ(static_cast<int>(t.dtype), index++);
    CHECK_EQ(name(t.dtype), t.name);
    CHECK_EQ(find_gguf_type(t.gguf_id), &t);
    ids.insert(t.gguf_id);
  }
  CHECK_EQ(static_cast<int>(ids.size()), index);
}

TEST(dtype_table_matches_the_block_structs) {
  check_block_sizes<DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_1, DType::Q5_0,
                    DType::Q5_1, DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::IQ4_NL,
                    DType::IQ4_XS, DType::MXFP4>();
}

TEST(unknown_types_are_named) {
  CHECK(find_gguf_type(16) == nullptr);
  CHECK_EQ(gguf_type_name(16), "IQ2_XXS");
  CHECK_EQ(gguf_type_name(12), "Q4_K");
  CHECK_EQ(gguf_type_name(4711), "type 4711");
}

TEST(shape_arithmetic) {
  const Shape shape{2, 3, 4};
  CHECK_EQ(shape.rank(), 3);
  CHECK_EQ(shape[0], 2);
  CHECK_EQ(shape[-1], 4);
  CHECK_EQ(shape[-3], 2);
  CHECK_EQ(shape.elements(), 24);
  CHECK_EQ(shape.rows(), 6);
  CHECK_EQ(shape.str(), "[2, 3, 4]");
  CHECK_EQ(Shape{}.elements(), 1);
  CHECK_EQ(Shape{}.rows(), 1);
  CHECK_EQ((Shape{0, 5}).elements(), 0);
  CHECK((Shape{2, 3}) == (Shape{2, 3}));
  CHECK(!((Shape{2, 3}) == (Shape{3, 2})));
  CHECK(!((Shape{2, 3}) == (Shape{2, 3, 1})));
  CHECK_THROWS(shape[3], InternalError, "i < rank_");
  CHECK_THROWS(shape[-4], InternalError, "i >= -rank_");
  Shape full{1, 2, 3, 4};
  CHECK_THROWS(full.append(5), InternalError, "kMaxRank");
  CHECK_THROWS((Shape{1, 2, 3, 4, 5}), InternalError, "kMaxRank");
}

TEST(strides_count_bytes_of_blocks) {
  CHECK((contiguous_strides(DType::F32, {2, 3, 4}) == Strides{48, 16, 0, 0}));
  CHECK((contiguous_strides(DType::Q4_K, {5, 7, 512}) == Strides{7 * 288, 288, 0, 0}));
  CHECK((contiguous_strides(DType::F32, {4}) == Strides{}));
  CHECK_EQ(extent_bytes(DType::Q6_K, {3, 256}, contiguous_strides(DType::Q6_K, {3, 256})), 630);
  CHECK_EQ(extent_bytes(DType::BF16, {3, 0}, contiguous_strides(DType::BF16, {3, 0})), 0);
  CHECK_EQ(extent_bytes(DType::F32, {}, {}), 4);
  // Two of four columns of a [3, 4] matrix: rows still lie 16 bytes apart, the last one ends after its own 8.
  CHECK_EQ(extent_bytes(DType::F32, {3, 2}, Strides{16, 0, 0, 0}), 40);
}

TEST(slices_are_views) {
  const Tensor all(DType::F16, {4, 3, 8}, nullptr, 100);
  CHECK(all.contiguous());
  CHECK_EQ(all.bytes(), 192);
  const Tensor middle = all.slice(1, 2);
  CHECK_EQ(middle.offset, 148);
  CHECK_EQ(middle.bytes(), 96);
  CHECK(middle.shape == (Shape{2, 3, 8}));
  CHECK(middle.contiguous());
  CHECK_EQ(all.slice(4, 0).bytes(), 0);
  CHECK_EQ(Tensor(DType::F32, {10}, nullptr, 0).slice(3, 4).offset, 12);
  CHECK_THROWS(all.slice(3, 2), InternalError, "begin + count");
  CHECK_THROWS(all.slice(-1, 2), InternalError, "begin >= 0");
  CHECK(all.host() == nullptr);

  Tensor columns = all;  // [4, 3, 2] of it
  columns.shape = {4, 3, 2};
  CHECK(!columns.contiguous());
  CHECK_EQ(columns.bytes(), 3 * 48 + 2 * 16 + 4);
}

}  // namespace g4

G4_TEST_MAIN

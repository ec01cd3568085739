// The tensor table: shapes, extents and the message for each way of breaking an entry.
#include "base/error.h"
#include "check.h"
#include "gguf/image.h"

namespace g4::test {
namespace {

constexpr uint32_t kTypeF32 = 0, kTypeF16 = 1, kTypeQ4K = 12, kTypeMXFP4 = 39;

Image one(const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset = 0, size_t data = 64) {
  return Image().header(1, 0).tensor("w", dims, type, offset).pad().zeros(data);
}

TEST(reads_shapes_slowest_first_and_places_data) {
  for (const uint32_t version : {2u, 3u}) {
    Image image;
    image.header(2, 0, version)
        .tensor("a.weight", {4, 3, 2, 1}, kTypeF32, 0)
        .tensor("b.weight", {512, 2}, kTypeQ4K, 96);
    image.pad();
    const size_t begin = image.bytes().size();
    image.zeros(96 + 576);
    image.bytes()[begin + 95] = 7;
    image.bytes()[begin + 96] = 8;
    const auto file = image.parse();
    CHECK_EQ(file->tensors().size(), 2u);
    const GgufTensor& a = *file->find_tensor("a.weight");
    CHECK_EQ(a.shape.str(), "[1, 2, 3, 4]");
    CHECK(a.dtype == DType::F32);
    CHECK_EQ(a.data.size(), 96u);
    CHECK(a.data.data() == image.data() + begin);
    CHECK(a.data.back() == std::byte{7});
    const GgufTensor& b = *file->find_tensor("b.weight");
    CHECK_EQ(b.shape.str(), "[2, 512]");
    CHECK(b.dtype == DType::Q4_K);
    CHECK_EQ(b.data.size(), 2u * 2 * 144);
    CHECK(b.data.front() == std::byte{8});
    CHECK_EQ(b.part, 0u);
    CHECK(file->find_tensor("c.weight") == nullptr);
  }
}

TEST(every_known_type_is_sized_by_its_blocks) {
  for (const DTypeInfo& type : all_dtypes()) {
    const auto row = static_cast<uint64_t>(type.block_size) * 2;
    const auto bytes = static_cast<size_t>(type.block_bytes) * 2 * 3;
    const Image exact = one({row, 3}, type.gguf_id, 0, bytes);
    CHECK_EQ(exact.parse()->tensors()[0].data.size(), bytes);
    CHECK_THROWS(one({row, 3}, type.gguf_id, 0, bytes - 1).parse(), GgufError, "tensor w: data: ");
  }
}

TEST(honours_the_alignment) {
  Image image;
  image.header(2, 1).scalar("general.alignment", kU32, 256u);
  image.tensor("a", {1}, kTypeF32, 0).tensor("b", {1}, kTypeF32, 256).pad(256);
  const size_t begin = image.bytes().size();
  image.zeros(260);
  const auto file = image.parse();
  CHECK(file->tensors()[1].data.data() == image.data() + begin + 256);
  REFUSED(Image().header(1, 1).scalar("general.alignment", kU32, 64u).tensor("a", {1}, kTypeF32, 32).zeros(500),
          "tensor a: offset: a multiple of 64 expected, 32 found");
}

TEST(refuses_bad_alignments) {
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 33u, 1u << 22, 1u << 31})
    REFUSED(Image().header(0, 1).scalar("general.alignment", kU32, alignment),
            concat("key general.alignment: value: a power of two from 8 to 2097152 expected, ", alignment, " found")
                .c_str());
  for (const uint32_t alignment : {8u, 16u, 2097152u}) {
    const Image image = Image().header(0, 1).scalar("general.alignment", kU32, alignment);
    CHECK_EQ(image.parse()->at("general.alignment").as_int(), alignment);
  }
  REFUSED(Image().header(0, 1).scalar("general.alignment", kF32, 32.0f), "an integer expected, f32 found");
  REFUSED(Image().header(0, 1).key("general.alignment", kString).string("32"), "an integer expected, string found");
  REFUSED(Image().header(0, 1).scalar("general.alignment", kI32, -32), "from 8 to 2097152 expected, -32 found");
}

TEST(refuses_bad_names) {
  REFUSED(Image().header(1, 0).u64(1000).zeros(92), "tensor 0 of 1: name: 1000 bytes expected at offset 32, 92 left");
  REFUSED(Image().header(1, 0).tensor("", {1}, kTypeF32, 0).zeros(64), "name: a name of 1 to 64 bytes expected, 0 ");
  REFUSED(Image().header(1, 0).tensor(std::string(65, 't'), {1}, kTypeF32, 0).zeros(64),
          "tensor 0 of 1: name: a name of 1 to 64 bytes expected, 65 bytes found");
  REFUSED(Image().header(1, 0).tensor("a\x1b[31m", {1}, kTypeF32, 0).zeros(64), "byte 27 found at 1");
  REFUSED(Image().header(2, 0).tensor("w", {1}, kTypeF32, 0).tensor("w", {1}, kTypeF32, 32).zeros(128),
          "tensor w: each name once expected, tensors 0 and 1 found");
}

TEST(refuses_bad_shapes) {
  REFUSED(one({}, kTypeF32, 0, 128), "tensor w: dimension count: 1 to 4 expected, 0 found");
  REFUSED(one({1, 1, 1, 1, 1}, kTypeF32), "tensor w: dimension count: 1 to 4 expected, 5 found");
  REFUSED(Image().header(1, 0).string("w").u32(0xffffffffu).zeros(64), "dimension count: 1 to 4 expected, 4294967295");
  REFUSED(one({4, 0}, kTypeF32), "tensor w: shape [0, 4]: dimensions of at least 1 expected, 0 found");
  REFUSED(one({uint64_t{1} << 63}, kTypeF32), "dimension: at most 9223372036854775807 expected, 9223372036854775808");
  REFUSED(one({~uint64_t{0}, 2}, kTypeF32), "dimension: at most 9223372036854775807 expected, 18446744073709551615");
  REFUSED(one({uint64_t{1} << 32, uint64_t{1} << 31}, kTypeF32), "at most 2^63 - 1 elements expected");
  REFUSED(one({uint64_t{1} << 62}, kTypeF32), "tensor w: shape [4611686018427387904] of F32: at most 2^63 - 1 bytes");
  REFUSED(one({257, 3}, kTypeQ4K),
          "tensor w: shape [3, 257]: rows of a multiple of 256 elements expected for Q4_K, 257");
  // 64 x 4 elements are a whole block, the rows are not.
  REFUSED(one({64, 4}, kTypeQ4K, 0, 144), "rows of a multiple of 256 elements expected for Q4_K, 64 found");
}

TEST(names_the_types_it_does_not_read) {
  REFUSED(one({256}, 16), "tensor w: tensor type: one this engine reads expected, IQ2_XXS (id 16) found");
  REFUSED(one({256}, 9), "tensor w: tensor type: one this engine reads expected, Q8_1 (id 9) found");
  REFUSED(one({256}, 99), "tensor w: tensor type: one this engine reads expected, type 99 (id 99) found");
  REFUSED(one({256}, 0xffffffffu), "type 4294967295 (id 4294967295) found");
}

TEST(refuses_bad_extents) {
  REFUSED(one({4}, kTypeF32, 1), "tensor w: offset: a multiple of 32 expected, 1 found");
  REFUSED(one({16}, kTypeF32, 0, 63), "tensor w: data: 64 bytes expected at offset 0 of 63 bytes of tensor data");
  REFUSED(one({8}, kTypeF32, 64, 64), "tensor w: data: 32 bytes expected at offset 64 of 64 bytes of tensor data");
  REFUSED(one({8}, kTypeF32, ~uint64_t{31}, 64), "data: 32 bytes expected at offset 18446744073709551584 of 64 bytes");
  REFUSED(one({uint64_t{1} << 60}, kTypeF16, 0, 64),
          "data: 2305843009213693952 bytes expected at offset 0 of 64 bytes");
  // The file ends inside the padding that follows the table.
  Image short_image = Image().header(1, 0).tensor("w", {1}, kTypeF32, 0);
  const size_t table_end = short_image.bytes().size();
  REFUSED(short_image, "data: 4 bytes expected at offset 0 of 0 bytes of tensor data");
  CHECK(table_end % 32 != 0);
}

TEST(refuses_overlapping_tensors) {
  REFUSED(Image().header(2, 0).tensor("a", {64}, kTypeF32, 0).tensor("b", {8}, kTypeF32, 224).zeros(512),
          "tensor table: data: b expected at offset 256 or later, after a, 224 found");
  REFUSED(Image().header(2, 0).tensor("a", {8}, kTypeF32, 64).tensor("b", {8}, kTypeF32, 64).zeros(512), "64 found");
  Image by_one = Image().header(2, 1).scalar("general.alignment", kU32, 8u);
  by_one.tensor("a", {32}, kTypeMXFP4, 0).tensor("b", {32}, kTypeMXFP4, 16).zeros(512);
  REFUSED(by_one, "tensor table: data: b expected at offset 17 or later, after a, 16 found");
  // Out of table order, with a gap, is sound.
  const Image image = Image().header(2, 0).tensor("a", {8}, kTypeF32, 128).tensor("b", {8}, kTypeF32, 0).zeros(512);
  CHECK_EQ(image.parse()->tensors().size(), 2u);
}

TEST(a_file_without_tensors_needs_no_data) {
  const Image image = Image().header(0, 1).scalar("k", kU8, uint8_t{1});
  CHECK(image.parse()->tensors().empty());
}

}  // namespace
}  // namespace g4::test

// The writer: its bytes against a hand-built image, the round trip through the reader, wrong use, and disks that fail.
#include "gguf/writer.h"

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "check.h"
#include "gguf/image.h"
#include "gguf/temp_dir.h"

namespace g4::test {
namespace {

std::vector<std::byte> pattern(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

std::string file_bytes(const std::string& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(writes_exactly_the_format) {
  TempDir dir;
  GgufWriter writer(dir.file("w.gguf"));
  writer.add_string("general.architecture", "gemma4");
  writer.add_int("n", GgufType::U32, 7);
  const std::string_view names[] = {"a", "bc"};
  writer.add_strings("names", names);
  writer.declare_tensor("x", DType::F16, {2, 3});
  writer.declare_tensor("y", DType::Q8_0, {32});
  writer.write_header();
  const auto x = pattern(12);
  const auto y = pattern(34);
  writer.write_tensor("x", x);
  writer.write_tensor("y", y);
  writer.finish();

  Image expected;
  expected.header(2, 3).key("general.architecture", kString).string("gemma4").scalar("n", kU32, 7u);
  expected.array("names", kString, 2).string("a").string("bc");
  expected.tensor("x", {3, 2}, 1, 0).tensor("y", {32}, 8, 32).pad();
  for (const std::byte b : x) expected.put(b);
  expected.pad();
  for (const std::byte b : y) expected.put(b);
  expected.pad();
  CHECK(file_bytes(dir.file("w.gguf")) == expected.bytes());
  CHECK_EQ(writer.file_bytes(), expected.bytes().size());
  CHECK_EQ(dir.entries(), 1u);
}

TEST(round_trip_of_every_type) {
  TempDir dir;
  GgufWriter writer(dir.file("w.gguf"));
  const GgufType ints[] = {GgufType::U8,  GgufType::I8,  GgufType::U16, GgufType::I16,
                           GgufType::U32, GgufType::I32, GgufType::U64, GgufType::I64};
  const std::vector<int64_t> values = {0, 1, 127};
  writer.add_int("general.alignment", GgufType::U32, 128);
  for (const GgufType type : ints) {
    writer.add_int(concat("int.", name(type)), type, 127);
    writer.add_ints(concat("ints.", name(type)), type, values);
  }
  writer.add_int("min", GgufType::I64, std::numeric_limits<int64_t>::min());
  writer.add_bool("yes", true);
  writer.add_ints("bools", GgufType::Bool, std::vector<int64_t>{0, 1});
  writer.add_float("f32", GgufType::F32, 0.1);
  writer.add_float("f64", GgufType::F64, 0.1);
  writer.add_floats("f32s", GgufType::F32, std::vector<double>{0.5, -1.0});
  writer.add_floats("f64s", GgufType::F64, std::vector<double>{});
  writer.add_strings("none", {});
  for (const DTypeInfo& type : all_dtypes()) writer.declare_tensor(concat("t.", type.name), type.dtype, {3, 512});
  writer.write_header();
  for (const DTypeInfo& type : all_dtypes())
    writer.write_tensor(concat("t.", type.name), pattern(static_cast<size_t>(row_bytes(type.dtype, 3 * 512))));
  writer.finish();

  const auto file = GgufFile::open(dir.file("w.gguf"));
  CHECK_EQ(file->version(), 3u);
  CHECK_EQ(file->file_bytes(), writer.file_bytes());
  for (const GgufType type : ints) {
    CHECK(file->at(concat("int.", name(type))).type() == type);
    CHECK_EQ(file->at(concat("int.", name(type))).as_int(), 127);
    CHECK(file->at(concat("ints.", name(type))).element_type() == type);
    CHECK(file->at(concat("ints.", name(type))).as_ints() == values);
  }
  CHECK_EQ(file->at("min").as_int(), std::numeric_limits<int64_t>::min());
  CHECK(file->at("yes").as_bool());
  CHECK(file->at("bools").element_type() == GgufType::Bool);
  CHECK(file->at("bools").as_ints() == (std::vector<int64_t>{0, 1}));
  CHECK_EQ(file->at("f32").as_float(), static_cast<double>(0.1f));
  CHECK_EQ(file->at("f64").as_float(), 0.1);
  CHECK(file->at("f32s").as_floats() == (std::vector<double>{0.5, -1.0}));
  CHECK(file->at("f64s").as_floats().empty());
  CHECK(file->at("none").as_strings().empty());
  CHECK_EQ(file->tensors().size(), all_dtypes().size());
  for (size_t i = 0; i < all_dtypes().size(); ++i) {
    const GgufTensor& tensor = file->tensors()[i];
    CHECK(tensor.dtype == all_dtypes()[i].dtype);
    CHECK_EQ(tensor.shape.str(), "[3, 512]");
    const auto expected = pattern(static_cast<size_t>(row_bytes(tensor.dtype, 3 * 512)));
    CHECK(std::equal(tensor.data.begin(), tensor.data.end(), expected.begin(), expected.end()));
    CHECK_EQ((tensor.data.data() - file->parts()[0]->bytes().data()) % 128, 0);
  }
}

TEST(pieces_larger_and_smaller_than_the_buffer) {
  TempDir dir;
  const auto bytes = pattern(size_t{5} << 20);
  GgufWriter writer(dir.file("w.gguf"));
  writer.declare_tensor("big", DType::F32, {5, 1 << 18});
  writer.declare_tensor("small", DType::F32, {1});
  writer.write_header();
  const std::span<const std::byte> all(bytes);
  size_t at = 0;
  for (const size_t piece : {1u, 1000000u, 60000u, 2000000u, 0u, 3u}) {
    writer.write_tensor_piece("big", all.subspan(at, piece));
    at += piece;
  }
  CHECK_THROWS(writer.write_tensor_piece("big", all), ArgumentError,
               "tensor big: at most 2182876 of 5242880 bytes expected, 5242880 found");
  CHECK_THROWS(writer.write_tensor_piece("small", all.first(4)), ArgumentError,
               "tensor big (0 of 2) expected next, small found");
  CHECK_THROWS(writer.finish(), ArgumentError, "tensor big (0 of 2): 3060004 of 5242880 bytes written");
  writer.write_tensor_piece("big", all.subspan(at));
  writer.write_tensor("small", all.first(4));
  writer.finish();
  const auto file = GgufFile::open(dir.file("w.gguf"));
  const auto data = file->find_tensor("big")->data;
  CHECK(std::equal(data.begin(), data.end(), bytes.begin(), bytes.end()));
}

TEST(wrong_use_is_refused_and_leaves_the_writer_usable) {
  TempDir dir;
  const std::string path = dir.file("w.gguf");
  GgufWriter writer(path);
  CHECK_THROWS(writer.add_int("n", GgufType::U8, 256), ArgumentError, "n: a value of type u8 expected, 256 found");
  CHECK_THROWS(writer.add_int("n", GgufType::U64, -1), ArgumentError, "n: a value of type u64 expected, -1 found");
  CHECK_THROWS(writer.add_int("n", GgufType::I8, -129), ArgumentError, "n: a value of type i8 expected, -129 found");
  CHECK_THROWS(writer.add_int("n", GgufType::Bool, 2), ArgumentError, "n: a bool (0 or 1) expected, 2 found");
  CHECK_THROWS(writer.add_int("n", GgufType::F32, 1), ArgumentError, "n: an integer type or bool expected, f32 found");
  CHECK_THROWS(writer.add_float("n", GgufType::U8, 1), ArgumentError, "n: f32 or f64 expected, u8 found");
  CHECK_THROWS(writer.add_ints("n", GgufType::I16, std::vector<int64_t>{1, 40000}), ArgumentError, "40000 found");
  CHECK_THROWS(writer.add_string("", "x"), ArgumentError, "key 0: a name of 1 to 65535 bytes expected, 0 bytes found");
  CHECK_THROWS(writer.add_int("general.alignment", GgufType::U32, 33), ArgumentError, "power of two from 8");
  CHECK_THROWS(writer.add_int("general.alignment", GgufType::U8, 64), ArgumentError, "type u32 expected, u8 found");
  writer.add_string("n", "v");
  CHECK_THROWS(writer.add_string("n", "w"), ArgumentError, "key n was added already");
  CHECK_THROWS(writer.declare_tensor("t", DType::F32, {}), ArgumentError, "1 to 4 dimensions expected, 0 found");
  CHECK_THROWS(writer.declare_tensor("t", DType::F32, {2, 0}), ArgumentError, "at least 1 expected, 0 found");
  CHECK_THROWS(writer.declare_tensor("t", DType::F32, {-2}), ArgumentError, "at least 1 expected, -2 found");
  CHECK_THROWS(writer.declare_tensor("t", DType::Q4_0, {2, 33}), ArgumentError, "multiple of 32 elements expected");
  CHECK_THROWS(writer.declare_tensor("t", DType::F32, {int64_t{1} << 60}), ArgumentError, "too many for a file");
  CHECK_THROWS(writer.declare_tensor(std::string(64, 't'), DType::F32, {1}), ArgumentError, "1 to 63 bytes expected");
  CHECK_THROWS(writer.write_tensor("t", {}), ArgumentError, "tensor data expected after the header is written");
  CHECK_THROWS(writer.finish(), ArgumentError, "finish expected after the header is written");
  writer.declare_tensor("t", DType::F32, {2});
  CHECK_THROWS(writer.declare_tensor("t", DType::F32, {2}), ArgumentError, "tensor t was declared already");
  CHECK_THROWS(writer.add_int("general.alignment", GgufType::U32, 64), ArgumentError, "before the first tensor");
  writer.write_header();
  CHECK_THROWS(writer.write_header(), ArgumentError, "write_header expected before the header is written");
  CHECK_THROWS(writer.add_string("late", "x"), ArgumentError, "metadata expected before the header is written");
  CHECK_THROWS(writer.declare_tensor("u", DType::F32, {2}), ArgumentError, "tensor declarations expected before");
  CHECK_THROWS(writer.write_tensor("t", pattern(7)), ArgumentError, "tensor t: 8 bytes expected, 7 found");
  writer.write_tensor("t", pattern(8));
  CHECK_THROWS(writer.write_tensor("t", pattern(8)), ArgumentError, "tensor t: all 1 tensors are written already");
  writer.finish();
  CHECK_THROWS(writer.finish(), FileError, "the file is closed");
  const auto file = GgufFile::open(path);
  CHECK_EQ(file->metadata().size(), 1u);
  CHECK_EQ(file->tensors().size(), 1u);
}

TEST(an_unfinished_file_leaves_the_old_one_and_nothing_else) {
  TempDir dir;
  const std::string path = dir.file("w.gguf");
  Image().raw("old").save(path);
  {
    GgufWriter writer(path);
    writer.declare_tensor("t", DType::F32, {2});
    writer.write_header();
    CHECK(std::filesystem::exists(path + ".part"));
  }
  CHECK_EQ(dir.entries(), 1u);
  CHECK_EQ(file_bytes(path).size(), 3u);
  GgufWriter writer(path);
  writer.discard();
  CHECK_EQ(dir.entries(), 1u);
  CHECK_THROWS(writer.write_header(), FileError, "the file is closed");
}

TEST(a_leftover_part_is_overwritten_and_a_live_one_is_not) {
  TempDir dir;
  const std::string path = dir.file("w.gguf");
  Image().zeros(5000).save(path + ".part");
  GgufWriter writer(path);
  CHECK_THROWS(GgufWriter(path), FileError, "w.gguf.part: is being written by another process");
  CHECK(std::filesystem::exists(path + ".part"));
  writer.write_header();
  writer.finish();
  CHECK_EQ(file_bytes(path).size(), 32u);
  CHECK_EQ(dir.entries(), 1u);
}

TEST(places_that_cannot_be_written) {
  TempDir dir;
  CHECK_THROWS(GgufWriter(dir.file("")), FileError, "is a directory, a file was expected");
  CHECK_THROWS(GgufWriter(dir.file("no/w.gguf")), FileError, "w.gguf.part: cannot create: No such file or directory");
}

TEST(a_full_disk_is_reported_at_the_latest_by_finish) {
  GgufWriter small("/dev/full");
  small.write_header();
  CHECK_THROWS(small.finish(), FileError, "/dev/full: cannot write 32 bytes at offset 0: No space left on device");
  CHECK(std::filesystem::exists("/dev/full"));

  GgufWriter large("/dev/full");
  large.declare_tensor("t", DType::F32, {1 << 20});
  large.write_header();
  CHECK_THROWS(large.write_tensor("t", pattern(4 << 20)), FileError, "No space left on device");
}

TEST(a_disk_that_fills_up_midway_leaves_nothing) {
  TempDir dir;
  const std::string path = dir.file("w.gguf");
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{3 << 20, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  GgufWriter writer(path);
  writer.declare_tensor("t", DType::F32, {2 << 20});
  writer.write_header();
  // 64 bytes of header go first; the limit then cuts a piece in the middle.
  CHECK_THROWS(writer.write_tensor("t", pattern(8 << 20)), FileError,
               "w.gguf.part: cannot write 5242944 bytes at offset 3145728: File too large");
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK_EQ(dir.entries(), 0u);
  CHECK_THROWS(writer.finish(), ArgumentError, "0 of 8388608 bytes written");
}

}  // namespace
}  // namespace g4::test

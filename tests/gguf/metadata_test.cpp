// Header and metadata: what is read from a sound file, and the message for each way of breaking one.
#include <limits>

#include "base/error.h"
#include "check.h"
#include "gguf/image.h"

namespace g4::test {
namespace {

TEST(reads_every_scalar_type_v2_and_v3) {
  for (const uint32_t version : {2u, 3u}) {
    Image image;
    image.header(0, 12, version)
        .scalar("a.u8", kU8, uint8_t{200})
        .scalar("a.i8", kI8, int8_t{-100})
        .scalar("a.u16", kU16, uint16_t{60000})
        .scalar("a.i16", kI16, int16_t{-30000})
        .scalar("a.u32", kU32, uint32_t{4000000000u})
        .scalar("a.i32", kI32, int32_t{-2000000000})
        .scalar("a.u64", kU64, uint64_t{1} << 62)
        .scalar("a.i64", kI64, std::numeric_limits<int64_t>::min())
        .scalar("a.f32", kF32, 0.1f)
        .scalar("a.f64", kF64, 0.1)
        .scalar("a.bool", kBool, uint8_t{1})
        .key("a.str", kString)
        .string("h\xc3\xa9llo");
    const auto file = image.parse();
    CHECK_EQ(file->version(), version);
    CHECK_EQ(file->metadata().size(), 12u);
    CHECK_EQ(file->file_bytes(), image.bytes().size());
    CHECK_EQ(file->path(), "test.gguf");
    CHECK_EQ(file->at("a.u8").as_int(), 200);
    CHECK_EQ(file->at("a.i8").as_int(), -100);
    CHECK_EQ(file->at("a.u16").as_int(), 60000);
    CHECK_EQ(file->at("a.i16").as_int(), -30000);
    CHECK_EQ(file->at("a.u32").as_int(), 4000000000);
    CHECK_EQ(file->at("a.i32").as_int(), -2000000000);
    CHECK_EQ(file->at("a.u64").as_int(), int64_t{1} << 62);
    CHECK_EQ(file->at("a.i64").as_int(), std::numeric_limits<int64_t>::min());
    CHECK_EQ(file->at("a.f32").as_float(), static_cast<double>(0.1f));
    CHECK_EQ(file->at("a.f64").as_float(), 0.1);
    CHECK(file->at("a.bool").as_bool());
    CHECK_EQ(file->at("a.str").as_string(), "h\xc3\xa9llo");
    CHECK_EQ(file->metadata()[3].key(), "a.i16");
    CHECK_EQ(name(file->metadata()[3].type()), "i16");
    CHECK(file->find("a") == nullptr);
    CHECK_THROWS(file->at("a.none"), GgufError, "[gguf] test.gguf: key a.none expected, none found");
  }
}

TEST(reads_arrays) {
  Image image;
  image.header(0, 5);
  image.array("ints", kI16, 3).put(int16_t{-1}).put(int16_t{0}).put(int16_t{300});
  image.array("floats", kF32, 2).put(1.5f).put(-2.25f);
  image.array("bools", kBool, 3).put(uint8_t{1}).put(uint8_t{0}).put(uint8_t{1});
  image.array("strings", kString, 3).string("a").string("").string("ccc");
  image.array("empty", kU32, 0);
  const auto file = image.parse();
  CHECK(file->at("ints").as_ints() == (std::vector<int64_t>{-1, 0, 300}));
  CHECK(file->at("ints").as_floats() == (std::vector<double>{-1, 0, 300}));
  CHECK(file->at("floats").as_floats() == (std::vector<double>{1.5, -2.25}));
  CHECK(file->at("bools").as_ints() == (std::vector<int64_t>{1, 0, 1}));
  CHECK(file->at("strings").as_strings() == (std::vector<std::string_view>{"a", "", "ccc"}));
  CHECK_EQ(file->at("strings").size(), 3u);
  CHECK_EQ(file->at("strings").payload().size(), 8u + 1 + 8 + 8 + 3);
  CHECK(file->at("strings").element_type() == GgufType::String);
  CHECK(file->at("empty").as_ints().empty());
}

TEST(values_refuse_the_wrong_type_with_key_and_types) {
  Image image;
  image.header(0, 7)
      .scalar("big", kU64, ~uint64_t{0})
      .scalar("seven", kU8, uint8_t{7})
      .scalar("half", kF32, 0.5f)
      .scalar("yes", kBool, uint8_t{1})
      .key("text", kString)
      .string("x");
  image.array("names", kString, 1).string("n");
  image.array("bigs", kU64, 1).u64(uint64_t{1} << 63);
  const auto file = image.parse();
  CHECK_THROWS(file->at("big").as_int(), GgufError,
               "[gguf] big: an integer of at most 9223372036854775807 expected, 18446744073709551615 found");
  CHECK_EQ(file->at("big").as_float(), 18446744073709551616.0);
  CHECK_THROWS(file->at("bigs").as_ints(), GgufError,
               "bigs: an integer of at most 9223372036854775807 expected, 92233");
  CHECK_THROWS(file->at("seven").as_bool(), GgufError, "seven: a bool (0 or 1) expected, 7 found");
  CHECK_THROWS(file->at("half").as_int(), GgufError, "half: an integer expected, a value of type f32 found");
  CHECK_THROWS(file->at("yes").as_float(), GgufError, "yes: a number expected, a value of type bool found");
  CHECK_EQ(file->at("yes").as_int(), 1);
  CHECK_THROWS(file->at("text").as_bool(), GgufError, "text: a bool expected, a value of type string found");
  CHECK_THROWS(file->at("half").as_string(), GgufError, "half: a string expected, a value of type f32 found");
  CHECK_THROWS(file->at("names").as_ints(), GgufError,
               "names: an array of integers expected, an array of 1 string found");
  CHECK_THROWS(file->at("names").as_floats(), GgufError, "names: an array of numbers expected");
  CHECK_THROWS(file->at("names").as_string(), GgufError, "names: a string expected, an array of 1 string found");
  CHECK_THROWS(file->at("bigs").as_strings(), GgufError, "bigs: an array of strings expected, an array of 1 u64 found");
  CHECK_THROWS(file->at("text").as_strings(), GgufError, "text: an array of strings expected, a value of type string");
  CHECK_THROWS(file->at("text").as_ints(), GgufError, "text: an array of integers expected");
}

TEST(refuses_bad_headers) {
  REFUSED(Image(), "[gguf] test.gguf: header: magic: 4 bytes expected at offset 0, 0 left");
  REFUSED(Image().raw("PK\x03\x04"), "magic: bytes 47 47 55 46 (GGUF) expected, 50 4b 3 4 found");
  REFUSED(Image().raw("GGUF").put(uint16_t{3}), "version: 4 bytes expected at offset 4, 2 left");
  REFUSED(Image().header(0, 0, 1), "version: 2 or 3 expected, 1 found");
  REFUSED(Image().header(0, 0, 4), "version: 2 or 3 expected, 4 found");
  REFUSED(Image().header(0, 0, 0x03000000u), "version: a little-endian file expected, version 3 big-endian found");
  REFUSED(Image().raw("GGUF").u32(3).u32(0), "tensor count: 8 bytes expected at offset 8, 4 left");
  REFUSED(Image().raw("GGUF").u32(3).u64(0), "metadata count: 8 bytes expected at offset 16, 0 left");
  REFUSED(Image().header(1u << 20, 0), "tensor count: at most 0 expected (0 bytes left), 1048576 found");
  REFUSED(Image().header(0, ~uint64_t{0}).zeros(100), "metadata count: at most 7 expected (100 bytes left), 184467440");
  REFUSED(Image().header(uint64_t{1} << 61, 0).zeros(100), "tensor count: at most 3 expected (100 bytes left), 230584");
}

TEST(refuses_bad_keys) {
  const auto start = [] { return Image().header(0, 1); };
  REFUSED(start().u64(200).zeros(92), "metadata entry 0 of 1: key: 200 bytes expected at offset 32, 92 left");
  REFUSED(start().u64(~uint64_t{0}).zeros(92), "key: 18446744073709551615 bytes expected at offset 32, 92 left");
  REFUSED(start().key("", kU8).zeros(10), "entry 0 of 1: key: a name of 1 to 65535 bytes expected, 0 bytes found");
  REFUSED(start().key(std::string(65536, 'k'), kU8).zeros(1), "1 to 65535 bytes expected, 65536 bytes found");
  CHECK_EQ(Image(start().key(std::string(65535, 'k'), kU8).zeros(1)).parse()->metadata().size(), 1u);
  REFUSED(start().key("a\nb", kU8).zeros(1), "key: a name without control characters expected, byte 10 found at 1");
  for (const char* text : {"a\xff", "a\xc3", "a\x80", "a\xc0\x80", "a\xe0\x80\x80", "a\xed\xa0\x80",
                           "a\xf5\x80\x80\x80", "a\xf4\x90\x80\x80", "a\xf0\x80\x80\x80", "a\xe2\x28\xa1"})
    REFUSED(start().key(text, kU8).zeros(8), "key: a name in UTF-8 expected, byte ");
  for (const char* text : {"\xc3\xa9", "\xe2\x96\x81", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    const Image image = start().key(text, kU8).zeros(8);
    const auto file = image.parse();
    CHECK_EQ(file->metadata()[0].key(), text);
  }
  REFUSED(start().key("k", 13).zeros(8), "key k: value type: a type from 0 to 12 expected, 13 found");
  REFUSED(start().key("k", 0xffffffffu).zeros(8), "key k: value type: a type from 0 to 12 expected, 4294967295 found");
  REFUSED(Image().header(0, 3).scalar("k", kU32, 1u).scalar("j", kU32, 1u).scalar("k", kU32, 1u),
          "key k: each key once expected, entries 0 and 2 found");
}

TEST(refuses_bad_values) {
  const auto start = [] { return Image().header(0, 1); };
  REFUSED(start().key("k", kU64).u32(1), "key k: value count: at most 0 expected (4 bytes left), 1 found");
  REFUSED(start().scalar("k", kBool, uint8_t{2}), "key k: value: a bool (0 or 1) expected, 2 found");
  REFUSED(start().array("k", kBool, 2).put(uint8_t{1}).put(uint8_t{255}), "a bool (0 or 1) expected, 255 found");
  REFUSED(start().key("k", kString).u64(9).raw("12345678"), "key k: string: 9 bytes expected at offset 45, 8 left");
  REFUSED(start().key("k", kString).u64(~uint64_t{0}).raw("12"), "string: 18446744073709551615 bytes expected");
  REFUSED(start().array("k", kArray, 1).u32(kU8).u64(0), "element type: a scalar or a string expected, an array found");
  REFUSED(start().array("k", 13, 1).u64(0), "key k: element type: a type from 0 to 12 expected, 13 found");
  REFUSED(start().key("k", kArray).u32(kU8), "key k: element count: 8 bytes expected at offset 41, 0 left");
  REFUSED(start().array("k", kU32, 3).u64(0), "key k: value count: at most 2 expected (8 bytes left), 3 found");
  REFUSED(start().array("k", kU64, uint64_t{1} << 61).u64(0),
          "value count: at most 1 expected (8 bytes left), 2305843");
  REFUSED(start().array("k", kString, uint64_t{1} << 61).u64(0),
          "string count: at most 1 expected (8 bytes left), 230");
  REFUSED(start().array("k", kString, 2).string("abc").u32(0).u32(1).u32(0),
          "key k: string: 4294967296 bytes expected at offset 68, 4 left");
  REFUSED(start().array("k", kString, 3).string("12345678").u64(0), "string: 8 bytes expected at offset 73, 0 left");
}

TEST(every_truncation_of_a_sound_file_is_refused) {
  Image image;
  image.header(1, 2).key("s", kString).string("value");
  image.array("a", kString, 2).string("x").string("yz");
  image.tensor("t", {4, 2}, 0, 0).pad().zeros(32);
  CHECK_EQ(image.parse()->tensors().size(), 1u);
  while (!image.bytes().empty()) {
    image.bytes().pop_back();
    CHECK_THROWS(image.parse(), GgufError, "[gguf] test.gguf: ");
  }
}

}  // namespace
}  // namespace g4::test

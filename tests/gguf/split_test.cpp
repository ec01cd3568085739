// Opening files: single ones, sets of parts, and what is wrong with either.
#include <cstring>

#include "base/error.h"
#include "check.h"
#include "gguf/image.h"
#include "gguf/temp_dir.h"

namespace g4::test {
namespace {

struct Part {
  int no = 0;
  int count = 3;
  int tensors = 3;
  std::string tensor = "";  // its name, t0 ... by default
};

Image image_of(const Part& part) {
  Image image;
  image.header(1, part.no == 0 ? 4 : 3);
  if (part.no == 0) image.key("general.architecture", kString).string("gemma4");
  image.scalar("split.no", kU16, static_cast<uint16_t>(part.no));
  image.scalar("split.count", kU16, static_cast<uint16_t>(part.count));
  image.scalar("split.tensors.count", kI32, part.tensors);
  image.tensor(part.tensor.empty() ? concat("t", part.no) : part.tensor, {8}, 0, 0).pad();
  for (int i = 0; i < 8; ++i) image.put(static_cast<float>(10 * part.no + i));
  return image;
}

std::string part_path(const TempDir& dir, int no, int count = 3) {
  return dir.file(concat("m-0000", no, "-of-0000", count, ".gguf"));
}

void save_set(const TempDir& dir, const std::vector<Part>& parts) {
  for (size_t i = 0; i < parts.size(); ++i) image_of(parts[i]).save(part_path(dir, static_cast<int>(i) + 1));
}

TEST(opens_a_set_from_any_of_its_parts) {
  TempDir dir;
  save_set(dir, {{0}, {1}, {2}});
  for (int no = 1; no <= 3; ++no) {
    const auto file = GgufFile::open(part_path(dir, no));
    CHECK_EQ(file->path(), part_path(dir, no));
    CHECK_EQ(file->parts().size(), 3u);
    CHECK_EQ(file->tensors().size(), 3u);
    CHECK_EQ(file->at("general.architecture").as_string(), "gemma4");
    uint64_t bytes = 0;
    for (const auto& part : file->parts()) bytes += part->bytes().size();
    CHECK_EQ(file->file_bytes(), bytes);
    for (size_t i = 0; i < 3; ++i) {
      const GgufTensor* tensor = file->find_tensor(concat("t", i));
      CHECK(tensor && tensor == &file->tensors()[i]);
      CHECK_EQ(tensor->part, i);
      float values[8];
      std::memcpy(values, tensor->data.data(), sizeof values);
      CHECK_EQ(values[7], static_cast<float>(10 * i + 7));
    }
  }
}

TEST(refuses_inconsistent_sets) {
  struct Broken {
    std::vector<Part> parts;
    const char* message;
  };
  const Broken cases[] = {
      {{{0}, {2}, {2}}, "m-00002-of-00003.gguf: split.no: 1 expected, 2 found"},
      {{{0}, {1}, {2, 4}}, "m-00003-of-00003.gguf: split.count: 3 expected, 4 found"},
      {{{0, 2}, {1}, {2}}, "m-00001-of-00003.gguf: split.count: 3 expected, 2 found"},
      {{{0, 3, 4}, {1}, {2}}, "m-00001-of-00003.gguf: split.tensors.count: 3 expected, 4 found"},
      {{{0}, {1}, {2, 3, 3, "t0"}}, "m-00003-of-00003.gguf: tensor t0: each name once expected, parts 1 and 3 have it"},
  };
  for (const Broken& broken : cases) {
    TempDir dir;
    save_set(dir, broken.parts);
    CHECK_THROWS(GgufFile::open(part_path(dir, 1)), GgufError, broken.message);
  }
}

TEST(names_the_missing_part) {
  TempDir dir;
  save_set(dir, {{0}, {1}});
  CHECK_THROWS(GgufFile::open(part_path(dir, 1)), FileError, "part 3 of 3 of a split file: ");
  CHECK_THROWS(GgufFile::open(part_path(dir, 1)), FileError, "m-00003-of-00003.gguf: no such file");
}

TEST(a_damaged_part_is_named) {
  TempDir dir;
  save_set(dir, {{0}, {1}, {2}});
  Image cut = image_of({1});
  cut.bytes().pop_back();
  cut.save(part_path(dir, 2));
  CHECK_THROWS(GgufFile::open(part_path(dir, 1)), GgufError, "m-00002-of-00003.gguf: tensor t1: data: 32 bytes");
}

TEST(name_and_split_count_must_agree) {
  TempDir dir;
  image_of({0}).save(dir.file("renamed.gguf"));
  CHECK_THROWS(GgufFile::open(dir.file("renamed.gguf")), GgufError,
               "renamed.gguf: split.count: 3 parts need names that");
  image_of({0}).save(dir.file("m-0001-of-0003.gguf"));
  CHECK_THROWS(GgufFile::open(dir.file("m-0001-of-0003.gguf")), GgufError, "split.count: 3 parts need names that");
  const Image single = Image().header(0, 1).scalar("k", kU8, uint8_t{1});
  single.save(part_path(dir, 1, 2));
  CHECK_THROWS(GgufFile::open(part_path(dir, 1, 2)), GgufError, "key split.count expected, none found");
  single.save(part_path(dir, 1, 1));
  CHECK_EQ(GgufFile::open(part_path(dir, 1, 1))->parts().size(), 1u);
  CHECK_THROWS(image_of({0}).parse(), GgufError, "split.count: 1 expected of bytes in memory, 3 found");
}

TEST(split_count_of_zero_or_one_is_a_single_file) {
  TempDir dir;
  for (const int count : {0, 1}) {
    for (const std::string& path : {dir.file("one.gguf"), part_path(dir, 1, 1)}) {
      image_of({0, count, 1}).save(path);
      CHECK_EQ(GgufFile::open(path)->tensors().size(), 1u);
    }
  }
}

TEST(split_keys_of_the_wrong_kind) {
  TempDir dir;
  Image().header(0, 1).key("split.count", kString).string("3").save(dir.file("a.gguf"));
  CHECK_THROWS(GgufFile::open(dir.file("a.gguf")), GgufError,
               "split.count: an integer expected, a value of type string");
  Image().header(0, 1).scalar("split.count", kI32, -3).save(dir.file("b.gguf"));
  CHECK_THROWS(GgufFile::open(dir.file("b.gguf")), GgufError, "split.count: at least 0 expected, -3 found");
}

TEST(opening_what_is_no_file) {
  TempDir dir;
  CHECK_THROWS(GgufFile::open(dir.file("none.gguf")), FileError, "none.gguf: no such file");
  CHECK_THROWS(GgufFile::open(dir.file("")), FileError, "is a directory");
  Image().save(dir.file("empty.gguf"));
  CHECK_THROWS(GgufFile::open(dir.file("empty.gguf")), FileError, "the file is empty");
  Image().raw("hello, world").save(dir.file("text.gguf"));
  CHECK_THROWS(GgufFile::open(dir.file("text.gguf")), GgufError, "text.gguf: header: magic: bytes 47 47 55 46");
}

}  // namespace
}  // namespace g4::test

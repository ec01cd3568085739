// Fuzz target: any bytes either parse or raise g4::Error, and what parsed can be read to the last byte. Values are read
// through the accessors, tensor data at both ends (AddressSanitizer watches the bytes around the input); a tensor must
// also lie behind the header, which no sanitizer can see.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <random>
#include <span>
#include <vector>

#include "base/error.h"
#include "gguf/format.h"
#include "gguf/parser.h"
#include "gguf/reader.h"

namespace {

volatile unsigned char sink;

void touch(std::string_view text) {
  if (text.empty()) return;
  sink = static_cast<unsigned char>(text.front());
  sink = static_cast<unsigned char>(text.back());
}

// An accessor may refuse a value of another type, with a g4::Error.
template <class Read>
void attempt(Read read) {
  try {
    read();
  } catch (const g4::Error& error) {
    touch(error.what());
  }
}

void expect(bool condition) {
  if (!condition) __builtin_trap();
}

void read_all(const g4::GgufFile& file, std::span<const std::byte> input) {
  for (const g4::GgufValue& value : file.metadata()) {
    attempt([&] { sink = static_cast<unsigned char>(value.as_int()); });
    attempt([&] { sink = value.as_float() > 0; });
    attempt([&] { sink = value.as_bool(); });
    attempt([&] { touch(value.as_string()); });
    attempt([&] { sink = static_cast<unsigned char>(value.as_ints().size()); });
    attempt([&] { sink = static_cast<unsigned char>(value.as_floats().size()); });
    attempt([&] {
      for (const std::string_view text : value.as_strings()) touch(text);
    });
    expect(file.find(value.key()) == &value);
    expect(value.payload().data() + value.payload().size() <= input.data() + input.size());
  }
  // A table entry: name length 8, name, rank 4, 8 per dimension, type 4, offset 8.
  const std::byte* table_end = input.data() + 24;
  if (!file.metadata().empty())
    table_end = file.metadata().back().payload().data() + file.metadata().back().payload().size();
  for (const g4::GgufTensor& tensor : file.tensors()) table_end += 24 + tensor.name.size() + 8 * tensor.shape.rank();
  for (const g4::GgufTensor& tensor : file.tensors()) {
    sink = std::to_integer<unsigned char>(tensor.data.front());
    sink = std::to_integer<unsigned char>(tensor.data.back());
    expect(file.find_tensor(tensor.name) == &tensor);
    expect(tensor.data.size() == static_cast<size_t>(g4::row_bytes(tensor.dtype, tensor.shape.elements())));
    expect(tensor.data.data() >= table_end);
    expect(tensor.data.data() + tensor.data.size() <= input.data() + input.size());
  }
}

struct Field {
  size_t position;
  size_t width;
};

// Where the numbers of a file stand, up to its first fault.
std::vector<Field> fields_of(std::span<const std::byte> input) {
  std::vector<Field> fields;
  g4::GgufCursor cursor(input, "");
  const auto u32 = [&] {
    const auto value = cursor.read<uint32_t>("");
    fields.push_back({cursor.position() - 4, 4});
    return value;
  };
  const auto u64 = [&] {
    const auto value = cursor.read<uint64_t>("");
    fields.push_back({cursor.position() - 8, 8});
    return value;
  };
  const auto text = [&] { cursor.take(u64(), ""); };
  try {
    cursor.take(g4::kGgufMagic.size(), "");
    u32();
    const uint64_t tensors = u64();
    const uint64_t keys = u64();
    for (uint64_t i = 0; i < keys; ++i) {
      text();
      auto type = static_cast<g4::GgufType>(u32());
      uint64_t count = 1;
      if (type == g4::GgufType::Array) {
        type = static_cast<g4::GgufType>(u32());
        count = u64();
      }
      const size_t width = g4::gguf_scalar_bytes(type);
      if (width != 0) cursor.expect_entries(count, width, "");
      cursor.take(count * width, "");
      for (uint64_t k = 0; type == g4::GgufType::String && k < count; ++k) text();
    }
    for (uint64_t i = 0; i < tensors; ++i) {
      text();
      const uint32_t rank = u32();
      for (uint32_t d = 0; d < rank; ++d) u64();
      u32();
      u64();
    }
  } catch (const g4::GgufError&) {
    return fields;
  }
  return fields;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto input = std::as_bytes(std::span(data, size));
    read_all(*g4::GgufFile::parse(input, "fuzz.gguf"), input);
  } catch (const g4::GgufError& error) {
    touch(error.what());
  }
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Half of the mutations are libFuzzer's own. The other half put a telling number into one count, length, type,
// dimension or offset: what must be refused lies where arithmetic wraps, and random bytes seldom get there.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  constexpr uint64_t kNumbers[] = {0,          1,     2,         3,          7,          8,          9,
                                   12,         16,    31,        32,         33,         64,         255,
                                   256,        1024,  1u << 31,  1ull << 32, 1ull << 60, 1ull << 61, 1ull << 62,
                                   1ull << 63, ~0ull, ~0ull - 7, ~0ull - 31, ~0ull - 63, ~0ull - 255};
  std::minstd_rand random(seed);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() >> 8) % n; };
  const std::vector<Field> fields = fields_of(std::as_bytes(std::span(data, size)));
  if (fields.empty() || below(2) == 0) return LLVMFuzzerMutate(data, size, max_size);
  const Field field = fields[below(fields.size())];
  uint64_t number = 0;
  std::memcpy(&number, data + field.position, field.width);
  const size_t choice = below(std::size(kNumbers) + 2);
  number = choice < std::size(kNumbers) ? kNumbers[choice] : choice == std::size(kNumbers) ? number + 1 : number - 1;
  std::memcpy(data + field.position, &number, field.width);
  return size;
}

// Fuzz target: any bytes either parse or raise g4::Error, and what parsed can be read to the last byte. Reads go through
// the accessors, whose views must lie inside the input (AddressSanitizer watches the bytes around it).
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"
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

void read_all(const g4::GgufFile& file) {
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
    if (file.find(value.key()) != &value) __builtin_trap();
  }
  for (const g4::GgufTensor& tensor : file.tensors()) {
    sink = std::to_integer<unsigned char>(tensor.data.front());
    sink = std::to_integer<unsigned char>(tensor.data.back());
    if (file.find_tensor(tensor.name) != &tensor) __builtin_trap();
    if (tensor.data.size() != static_cast<size_t>(g4::row_bytes(tensor.dtype, tensor.shape.elements())))
      __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    read_all(*g4::GgufFile::parse(std::as_bytes(std::span(data, size)), "fuzz.gguf"));
  } catch (const g4::GgufError& error) {
    touch(error.what());
  }
  return 0;
}

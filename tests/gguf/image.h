// GGUF files built by hand, field by field, so that tests can break any one of them. Independent of the writer: it only
// knows how to append little-endian scalars and length-prefixed strings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "gguf/reader.h"

namespace g4::test {

// Type ids as the format's document numbers them.
enum : uint32_t { kU8 = 0, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

class Image {
 public:
  template <class T>
  Image& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Image& u32(uint32_t value) { return put(value); }
  Image& u64(uint64_t value) { return put(value); }
  Image& raw(std::string_view text) {
    bytes_.append(text);
    return *this;
  }
  Image& string(std::string_view text) { return u64(text.size()).raw(text); }
  Image& zeros(size_t count) {
    bytes_.append(count, 0);
    return *this;
  }
  Image& pad(size_t alignment = 32) { return zeros((alignment - bytes_.size() % alignment) % alignment); }

  Image& header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(tensors).u64(keys);
  }
  Image& key(std::string_view name, uint32_t type) { return string(name).u32(type); }
  template <class T>
  Image& scalar(std::string_view name, uint32_t type, T value) {
    return key(name, type).put(value);
  }
  Image& array(std::string_view name, uint32_t element, uint64_t count) {
    return key(name, kArray).u32(element).u64(count);
  }
  // Dimensions fastest first, as in the file.
  Image& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    string(name).u32(static_cast<uint32_t>(dims.size()));
    for (const uint64_t d : dims) u64(d);
    return u32(type).u64(offset);
  }

  std::string& bytes() { return bytes_; }
  const std::string& bytes() const { return bytes_; }
  const std::byte* data() const { return reinterpret_cast<const std::byte*>(bytes_.data()); }
  // The image must outlive the result.
  std::shared_ptr<const GgufFile> parse() const { return GgufFile::parse({data(), bytes_.size()}, "test.gguf"); }
  void save(const std::string& path) const { std::ofstream(path, std::ios::binary) << bytes_; }

 private:
  std::string bytes_;
};

}  // namespace g4::test

// Parsing the image throws GgufError with the text in its message.
#define REFUSED(image, text) CHECK_THROWS((image).parse(), GgufError, text)

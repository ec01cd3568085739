// Parses one GGUF file's bytes into a GgufFile: header, metadata, tensor table, data extents.
// Every read goes through GgufCursor, which never leaves the bytes; every count is compared with the bytes that are
// left (at the least size an entry can have) before anything is looped over or allocated. Layout: magic, u32 version,
// u64 tensors, u64 keys; keys; tensor table; padding to the alignment; tensor data.
#pragma once

#include <bit>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "gguf/reader.h"

namespace g4 {

static_assert(std::endian::native == std::endian::little, "GGUF scalars and tensor data are read in place");

// A position in the bytes; reads throw GgufError "[gguf] FILE: CONTEXT: FIELD: ..." instead of passing the end.
class GgufCursor {
 public:
  GgufCursor(std::span<const std::byte> bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

  // What is being read, for messages: "key general.name".
  void set_context(std::string context) { context_ = std::move(context); }

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }
  std::span<const std::byte> since(uint64_t begin) const { return bytes_.subspan(begin, position_ - begin); }

  std::span<const std::byte> take(uint64_t count, const char* field) {
    if (count > remaining())
      bad(field, ": ", count, " bytes expected at offset ", position_, ", ", remaining(), " left");
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }
  template <class T>
  T read(const char* field) {
    T value;
    std::memcpy(&value, take(sizeof value, field).data(), sizeof value);
    return value;
  }
  std::string_view string(const char* field) {
    const auto text = take(read<uint64_t>(field), field);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }
  // `count` entries of at least `least` bytes each must fit in what is left.
  void expect_entries(uint64_t count, uint64_t least, const char* field) const {
    if (count > remaining() / least)
      bad(field, ": at most ", remaining() / least, " expected (", remaining(), " bytes left), ", count, " found");
  }

  template <class... Parts>
  [[noreturn]] void bad(Parts&&... parts) const {
    fail<GgufError>("gguf", file_, ": ", context_, ": ", std::forward<Parts>(parts)...);
  }

 private:
  std::span<const std::byte> bytes_;
  std::string file_;
  std::string context_ = "header";
  uint64_t position_ = 0;
};

class GgufParser {
 public:
  // `file` names the bytes in messages; `part` is their index in a split set.
  GgufParser(std::span<const std::byte> bytes, const std::string& file, size_t part, GgufFile& out)
      : bytes_(bytes), cursor_(bytes, file), part_(part), out_(out) {}

  void run();

 private:
  struct Header {
    uint64_t tensors = 0;
    uint64_t keys = 0;
  };
  Header read_header();
  void read_key();
  GgufType read_type(const char* field);
  void skip_value(GgufType type, uint64_t count);
  void read_alignment();
  void read_tensor();
  void place_tensors();
  void check_overlaps() const;

  std::span<const std::byte> bytes_;
  GgufCursor cursor_;
  size_t part_;
  GgufFile& out_;
  uint64_t alignment_ = 0;
  std::vector<uint64_t> offsets_;  // of each tensor, from the start of the data
};

}  // namespace g4

// One GGUF metadata value. Scalars are held; strings and arrays are views into the mapped file, decoded on demand, so a
// vocabulary of 262,144 strings costs nothing until somebody reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace g4 {

enum class GgufType : uint32_t {
  U8 = 0,
  I8 = 1,
  U16 = 2,
  I16 = 3,
  U32 = 4,
  I32 = 5,
  F32 = 6,
  Bool = 7,
  String = 8,
  Array = 9,
  U64 = 10,
  I64 = 11,
  F64 = 12,
};
std::string_view name(GgufType type);

class GgufValue {
 public:
  GgufType type() const { return type_; }
  bool is_array() const { return type_ == GgufType::Array; }
  GgufType element_type() const { return element_; }  // of an array
  uint64_t size() const { return count_; }            // elements of an array

  // Each throws GgufError naming key(), what was asked for and what is there, also when an integer does not fit.
  int64_t as_int() const;   // any integer type, or bool
  double as_float() const;  // any number
  bool as_bool() const;     // bool, or an integer 0 or 1
  std::string_view as_string() const;
  std::vector<int64_t> as_ints() const;   // array of integers or bools
  std::vector<double> as_floats() const;  // array of numbers
  std::vector<std::string_view> as_strings() const;

  const std::string& key() const { return key_; }
  // The encoded bytes after the type word (for an array: after its element type and count), as in the file.
  std::span<const std::byte> payload() const { return payload_; }

 private:
  friend class GgufParser;
  std::string key_;
  GgufType type_ = GgufType::U8;
  GgufType element_ = GgufType::U8;
  uint64_t count_ = 0;
  std::span<const std::byte> payload_;
};

}  // namespace g4

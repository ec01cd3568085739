#include "gguf/value.h"

#include <cstring>
#include <limits>

#include "base/error.h"
#include "gguf/format.h"

namespace g4 {
namespace {

// The parser has checked that the payload holds what the type and the count say; the checks here keep a default
// constructed value harmless.
template <class T>
T load(std::span<const std::byte> payload, size_t offset) {
  G4_CHECK(offset <= payload.size() && payload.size() - offset >= sizeof(T));
  T value;
  std::memcpy(&value, payload.data() + offset, sizeof value);
  return value;
}

bool is_int_or_bool(GgufType type) { return is_integer(type) || type == GgufType::Bool; }
bool is_number(GgufType type) { return is_integer(type) || type == GgufType::F32 || type == GgufType::F64; }

int64_t load_int(const GgufValue& value, GgufType type, size_t offset) {
  const std::span<const std::byte> payload = value.payload();
  switch (type) {
    case GgufType::U8:
    case GgufType::Bool:
      return load<uint8_t>(payload, offset);
    case GgufType::I8:
      return load<int8_t>(payload, offset);
    case GgufType::U16:
      return load<uint16_t>(payload, offset);
    case GgufType::I16:
      return load<int16_t>(payload, offset);
    case GgufType::U32:
      return load<uint32_t>(payload, offset);
    case GgufType::I32:
      return load<int32_t>(payload, offset);
    case GgufType::I64:
      return load<int64_t>(payload, offset);
    case GgufType::U64: {
      const auto wide = load<uint64_t>(payload, offset);
      constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
      if (wide > static_cast<uint64_t>(kMax))
        fail<GgufError>("gguf", value.key(), ": an integer of at most ", kMax, " expected, ", wide, " found");
      return static_cast<int64_t>(wide);
    }
    default:
      G4_CHECK(false, "not an integer type: ", name(type));
  }
}

double load_float(const GgufValue& value, GgufType type, size_t offset) {
  switch (type) {
    case GgufType::F32:
      return load<float>(value.payload(), offset);
    case GgufType::F64:
      return load<double>(value.payload(), offset);
    case GgufType::U64:
      return static_cast<double>(load<uint64_t>(value.payload(), offset));
    default:
      return static_cast<double>(load_int(value, type, offset));
  }
}

std::string_view load_string(std::span<const std::byte> payload, size_t offset) {
  const auto length = load<uint64_t>(payload, offset);
  const size_t begin = offset + sizeof length;
  G4_CHECK(length <= payload.size() - begin);
  return {reinterpret_cast<const char*>(payload.data()) + begin, length};
}

[[noreturn]] void wrong_type(const GgufValue& value, const char* expected) {
  if (value.is_array())
    fail<GgufError>("gguf", value.key(), ": ", expected, " expected, an array of ", value.size(), " ",
                    name(value.element_type()), " found");
  fail<GgufError>("gguf", value.key(), ": ", expected, " expected, a value of type ", name(value.type()), " found");
}

// Every element of an array of fixed-size elements through load_one(value, type, offset).
template <class T>
std::vector<T> load_array(const GgufValue& value, T (*load_one)(const GgufValue&, GgufType, size_t)) {
  std::vector<T> elements;
  elements.reserve(value.size());
  const size_t step = gguf_scalar_bytes(value.element_type());
  for (uint64_t i = 0; i < value.size(); ++i) elements.push_back(load_one(value, value.element_type(), i * step));
  return elements;
}

}  // namespace

std::string_view name(GgufType type) {
  constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
  const auto index = static_cast<size_t>(type);
  G4_CHECK(index < std::size(kNames));
  return kNames[index];
}

int64_t GgufValue::as_int() const {
  if (!is_int_or_bool(type_)) wrong_type(*this, "an integer");
  return load_int(*this, type_, 0);
}

double GgufValue::as_float() const {
  if (!is_number(type_)) wrong_type(*this, "a number");
  return load_float(*this, type_, 0);
}

bool GgufValue::as_bool() const {
  if (!is_int_or_bool(type_)) wrong_type(*this, "a bool");
  const int64_t value = load_int(*this, type_, 0);
  if (value != 0 && value != 1) fail<GgufError>("gguf", key_, ": a bool (0 or 1) expected, ", value, " found");
  return value == 1;
}

std::string_view GgufValue::as_string() const {
  if (type_ != GgufType::String) wrong_type(*this, "a string");
  return load_string(payload_, 0);
}

std::vector<int64_t> GgufValue::as_ints() const {
  if (!is_array() || !is_int_or_bool(element_)) wrong_type(*this, "an array of integers");
  return load_array<int64_t>(*this, load_int);
}

std::vector<double> GgufValue::as_floats() const {
  if (!is_array() || !is_number(element_)) wrong_type(*this, "an array of numbers");
  return load_array<double>(*this, load_float);
}

std::vector<std::string_view> GgufValue::as_strings() const {
  if (!is_array() || element_ != GgufType::String) wrong_type(*this, "an array of strings");
  std::vector<std::string_view> strings;
  strings.reserve(count_);
  size_t offset = 0;
  for (uint64_t i = 0; i < count_; ++i) {
    strings.push_back(load_string(payload_, offset));
    offset += sizeof(uint64_t) + strings.back().size();
  }
  return strings;
}

}  // namespace g4

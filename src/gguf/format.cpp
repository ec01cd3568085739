#include "gguf/format.h"

#include <bit>

#include "base/error.h"

namespace g4 {
namespace {

constexpr int64_t kMinAlignment = 8;
constexpr int64_t kMaxAlignment = int64_t{2} << 20;

// Bytes of the UTF-8 sequence that starts `text`, 0 when it is malformed (RFC 3629: no overlong forms, no surrogates).
size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xed && byte(1) > 0x9f;
  const bool too_large = lead == 0xf4 && byte(1) > 0x8f;
  return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace

size_t gguf_scalar_bytes(GgufType type) {
  switch (type) {
    case GgufType::U8:
    case GgufType::I8:
    case GgufType::Bool:
      return 1;
    case GgufType::U16:
    case GgufType::I16:
      return 2;
    case GgufType::U32:
    case GgufType::I32:
    case GgufType::F32:
      return 4;
    case GgufType::U64:
    case GgufType::I64:
    case GgufType::F64:
      return 8;
    case GgufType::String:
    case GgufType::Array:
      return 0;
  }
  return 0;
}

bool is_integer(GgufType type) {
  return gguf_scalar_bytes(type) != 0 && type != GgufType::Bool && type != GgufType::F32 && type != GgufType::F64;
}

std::string gguf_name_complaint(std::string_view text, size_t max_bytes) {
  if (text.empty() || text.size() > max_bytes)
    return concat("a name of 1 to ", max_bytes, " bytes expected, ", text.size(), " bytes found");
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f)
      return concat("a name without control characters expected, byte ", int{byte}, " found at ", i);
    const size_t length = utf8_sequence(text.substr(i));
    if (length == 0) return concat("a name in UTF-8 expected, byte ", int{byte}, " found at ", i);
    i += length;
  }
  return {};
}

std::string gguf_alignment_complaint(int64_t alignment) {
  if (alignment >= kMinAlignment && alignment <= kMaxAlignment && std::has_single_bit(static_cast<uint64_t>(alignment)))
    return {};
  return concat("a power of two from ", kMinAlignment, " to ", kMaxAlignment, " expected, ", alignment, " found");
}

std::string gguf_shape_complaint(DType dtype, const Shape& shape) {
  if (shape.rank() < 1) return concat("1 to ", Shape::kMaxRank, " dimensions expected, ", shape.rank(), " found");
  int64_t elements = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] < 1) return concat("shape ", shape.str(), ": dimensions of at least 1 expected, ", shape[i], " found");
    if (__builtin_mul_overflow(elements, shape[i], &elements))
      return concat("shape ", shape.str(), ": at most 2^63 - 1 elements expected");
  }
  if (shape[-1] % block_size(dtype) != 0)
    return concat("shape ", shape.str(), ": rows of a multiple of ", block_size(dtype), " elements expected for ",
                  name(dtype), ", ", shape[-1], " found");
  int64_t bytes = 0;
  if (__builtin_mul_overflow(elements / block_size(dtype), block_bytes(dtype), &bytes))
    return concat("shape ", shape.str(), " of ", name(dtype), ": at most 2^63 - 1 bytes expected");
  return {};
}

}  // namespace g4

#include "gguf/parser.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "gguf/format.h"

namespace g4 {
namespace {

// The least an entry can take: a key of one byte with a one-byte value, a name of one byte with one dimension.
constexpr uint64_t kLeastKey = 8 + 1 + 4 + 1;
constexpr uint64_t kLeastTensor = 8 + 1 + 4 + 8 + 4 + 8;

bool is_version(uint32_t version) { return version == 2 || version == 3; }

}  // namespace

void GgufParser::run() {
  const Header header = read_header();
  for (uint64_t i = 0; i < header.keys; ++i) {
    cursor_.set_context(concat("metadata entry ", i, " of ", header.keys));
    read_key();
  }
  read_alignment();
  for (uint64_t i = 0; i < header.tensors; ++i) {
    cursor_.set_context(concat("tensor ", i, " of ", header.tensors));
    read_tensor();
  }
  place_tensors();
  cursor_.set_context("tensor table");
  check_overlaps();
}

GgufParser::Header GgufParser::read_header() {
  const auto magic = cursor_.take(kGgufMagic.size(), "magic");
  if (std::memcmp(magic.data(), kGgufMagic.data(), kGgufMagic.size()) != 0) {
    std::string found;
    for (const std::byte b : magic) found += concat(found.empty() ? "" : " ", std::hex, std::to_integer<int>(b));
    cursor_.bad("magic: bytes 47 47 55 46 (GGUF) expected, ", found, " found; this is not a GGUF file");
  }
  const auto version = cursor_.read<uint32_t>("version");
  if (is_version(__builtin_bswap32(version)))
    cursor_.bad("version: a little-endian file expected, version ", __builtin_bswap32(version), " big-endian found");
  if (!is_version(version)) cursor_.bad("version: 2 or 3 expected, ", version, " found");
  out_.version_ = version;
  Header header;
  header.tensors = cursor_.read<uint64_t>("tensor count");
  header.keys = cursor_.read<uint64_t>("metadata count");
  cursor_.expect_entries(header.keys, kLeastKey, "metadata count");
  cursor_.expect_entries(header.tensors, kLeastTensor, "tensor count");
  return header;
}

GgufType GgufParser::read_type(const char* field) {
  const auto id = cursor_.read<uint32_t>(field);
  if (id > static_cast<uint32_t>(GgufType::F64)) cursor_.bad(field, ": a type from 0 to 12 expected, ", id, " found");
  return static_cast<GgufType>(id);
}

void GgufParser::read_key() {
  const std::string_view key = cursor_.string("key");
  if (const auto complaint = gguf_name_complaint(key, kGgufMaxKeyBytes); !complaint.empty())
    cursor_.bad("key: ", complaint);
  cursor_.set_context(concat("key ", key));
  if (const auto [place, fresh] = out_.keys_.try_emplace(key, out_.metadata_.size()); !fresh)
    cursor_.bad("each key once expected, entries ", place->second, " and ", out_.metadata_.size(), " found");

  GgufValue value;
  value.key_ = key;
  value.type_ = read_type("value type");
  if (value.is_array()) {
    value.element_ = read_type("element type");
    if (value.element_ == GgufType::Array) cursor_.bad("element type: a scalar or a string expected, an array found");
    value.count_ = cursor_.read<uint64_t>("element count");
  }
  const uint64_t begin = cursor_.position();
  skip_value(value.is_array() ? value.element_ : value.type_, value.is_array() ? value.count_ : 1);
  value.payload_ = cursor_.since(begin);
  out_.metadata_.push_back(std::move(value));
}

// Walks `count` values of a type once, so that later reads need no checks.
void GgufParser::skip_value(GgufType type, uint64_t count) {
  if (type == GgufType::String) {
    cursor_.expect_entries(count, sizeof(uint64_t), "string count");
    for (uint64_t i = 0; i < count; ++i) cursor_.string("string");
    return;
  }
  const size_t bytes = gguf_scalar_bytes(type);
  cursor_.expect_entries(count, bytes, "value count");
  const auto values = cursor_.take(count * bytes, "value");
  if (type != GgufType::Bool) return;
  for (const std::byte b : values)
    if (b > std::byte{1}) cursor_.bad("value: a bool (0 or 1) expected, ", std::to_integer<int>(b), " found");
}

void GgufParser::read_alignment() {
  alignment_ = kGgufDefaultAlignment;
  const GgufValue* value = out_.find(kGgufAlignmentKey);
  if (!value) return;
  cursor_.set_context(concat("key ", kGgufAlignmentKey));
  if (!is_integer(value->type())) cursor_.bad("value type: an integer expected, ", name(value->type()), " found");
  const int64_t alignment = value->as_int();
  if (const auto complaint = gguf_alignment_complaint(alignment); !complaint.empty()) cursor_.bad("value: ", complaint);
  alignment_ = static_cast<uint64_t>(alignment);
}

void GgufParser::read_tensor() {
  const std::string_view tensor_name = cursor_.string("name");
  if (const auto complaint = gguf_name_complaint(tensor_name, kGgufMaxTensorNameBytes); !complaint.empty())
    cursor_.bad("name: ", complaint);
  cursor_.set_context(concat("tensor ", tensor_name));
  if (const auto [place, fresh] = out_.names_.try_emplace(tensor_name, out_.tensors_.size()); !fresh)
    cursor_.bad("each name once expected, tensors ", place->second, " and ", out_.tensors_.size(), " found");

  const auto rank = cursor_.read<uint32_t>("dimension count");
  if (rank < 1 || rank > Shape::kMaxRank)
    cursor_.bad("dimension count: 1 to ", Shape::kMaxRank, " expected, ", rank, " found");
  std::array<int64_t, Shape::kMaxRank> dims{};  // fastest first, as in the file
  for (uint32_t i = 0; i < rank; ++i) {
    const auto dim = cursor_.read<uint64_t>("dimension");
    constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    if (dim > static_cast<uint64_t>(kMax)) cursor_.bad("dimension: at most ", kMax, " expected, ", dim, " found");
    dims[i] = static_cast<int64_t>(dim);
  }
  const auto type_id = cursor_.read<uint32_t>("tensor type");
  const DTypeInfo* type = find_gguf_type(type_id);
  if (!type)
    cursor_.bad("tensor type: one this engine reads expected, ", gguf_type_name(type_id), " (id ", type_id, ") found");

  GgufTensor tensor;
  tensor.name = tensor_name;
  tensor.dtype = type->dtype;
  for (uint32_t i = rank; i-- > 0;) tensor.shape.append(dims[i]);
  if (const auto complaint = gguf_shape_complaint(tensor.dtype, tensor.shape); !complaint.empty())
    cursor_.bad(complaint);
  tensor.part = part_;

  const auto offset = cursor_.read<uint64_t>("offset");
  if (offset % alignment_ != 0) cursor_.bad("offset: a multiple of ", alignment_, " expected, ", offset, " found");
  offsets_.push_back(offset);
  out_.tensors_.push_back(std::move(tensor));
}

// The data begins after the table, so no tensor can overlap the header.
void GgufParser::place_tensors() {
  const uint64_t begin = align_up(cursor_.position(), alignment_);
  const uint64_t available = begin < bytes_.size() ? bytes_.size() - begin : 0;
  for (size_t i = 0; i < offsets_.size(); ++i) {
    GgufTensor& tensor = out_.tensors_[i];
    const auto bytes = static_cast<uint64_t>(row_bytes(tensor.dtype, tensor.shape.elements()));
    if (offsets_[i] > available || bytes > available - offsets_[i]) {
      cursor_.set_context(concat("tensor ", tensor.name));
      cursor_.bad("data: ", bytes, " bytes expected at offset ", offsets_[i], " of ", available,
                  " bytes of tensor data (file of ", bytes_.size(), " bytes); the file is truncated or malformed");
    }
    tensor.data = bytes_.subspan(begin + offsets_[i], bytes);
  }
}

void GgufParser::check_overlaps() const {
  std::vector<size_t> order(offsets_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return offsets_[a] < offsets_[b]; });
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = out_.tensors_[order[i - 1]];
    const uint64_t end = offsets_[order[i - 1]] + before.data.size();
    if (offsets_[order[i]] < end)
      cursor_.bad("data: ", out_.tensors_[order[i]].name, " expected at offset ", end, " or later, after ", before.name,
                  ", ", offsets_[order[i]], " found");
  }
}

}  // namespace g4

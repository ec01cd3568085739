#include "gguf/writer.h"

#include <limits>
#include <utility>

#include "base/error.h"

namespace g4 {
namespace {

template <class T>
void append(std::vector<std::byte>& out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

void append_string(std::vector<std::byte>& out, std::string_view text) {
  append<uint64_t>(out, text.size());
  const auto bytes = std::as_bytes(std::span(text));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class T>
void append_fitting(std::vector<std::byte>& out, std::string_view key, GgufType type, int64_t value) {
  if (!std::in_range<T>(value))
    fail<ArgumentError>("gguf", key, ": a value of type ", name(type), " expected, ", value, " found");
  append(out, static_cast<T>(value));
}

void append_int(std::vector<std::byte>& out, std::string_view key, GgufType type, int64_t value) {
  switch (type) {
    case GgufType::U8:
      return append_fitting<uint8_t>(out, key, type, value);
    case GgufType::I8:
      return append_fitting<int8_t>(out, key, type, value);
    case GgufType::U16:
      return append_fitting<uint16_t>(out, key, type, value);
    case GgufType::I16:
      return append_fitting<int16_t>(out, key, type, value);
    case GgufType::U32:
      return append_fitting<uint32_t>(out, key, type, value);
    case GgufType::I32:
      return append_fitting<int32_t>(out, key, type, value);
    case GgufType::U64:
      return append_fitting<uint64_t>(out, key, type, value);
    case GgufType::I64:
      return append(out, value);
    case GgufType::Bool:
      if (value != 0 && value != 1) fail<ArgumentError>("gguf", key, ": a bool (0 or 1) expected, ", value, " found");
      return append(out, static_cast<uint8_t>(value));
    default:
      fail<ArgumentError>("gguf", key, ": an integer type or bool expected, ", name(type), " found");
  }
}

void append_float(std::vector<std::byte>& out, std::string_view key, GgufType type, double value) {
  if (type == GgufType::F32)
    append(out, static_cast<float>(value));
  else if (type == GgufType::F64)
    append(out, value);
  else
    fail<ArgumentError>("gguf", key, ": f32 or f64 expected, ", name(type), " found");
}

std::vector<std::byte> array_head(GgufType element, size_t count) {
  std::vector<std::byte> out;
  append(out, static_cast<uint32_t>(element));
  append<uint64_t>(out, count);
  return out;
}

}  // namespace

void GgufWriter::expect_stage(bool header_written, const char* what) const {
  if (header_written_ != header_written)
    fail<ArgumentError>("gguf", path(), ": ", what, " expected ", header_written ? "after" : "before",
                        " the header is written");
}

// The value arrives encoded, so that a refused one leaves nothing behind.
void GgufWriter::add_value(std::string_view key, GgufType type, std::span<const std::byte> payload) {
  expect_stage(false, "metadata");
  if (const auto complaint = gguf_name_complaint(key, kGgufMaxKeyBytes); !complaint.empty())
    fail<ArgumentError>("gguf", path(), ": key ", key_names_.size(), ": ", complaint);
  if (!key_names_.emplace(key).second) fail<ArgumentError>("gguf", path(), ": key ", key, " was added already");
  append_string(keys_, key);
  append(keys_, static_cast<uint32_t>(type));
  keys_.insert(keys_.end(), payload.begin(), payload.end());
}

void GgufWriter::add_int(std::string_view key, GgufType type, int64_t value) {
  std::vector<std::byte> payload;
  append_int(payload, key, type, value);
  if (key == kGgufAlignmentKey) {
    if (type != GgufType::U32) fail<ArgumentError>("gguf", key, ": type u32 expected, ", name(type), " found");
    if (!tensors_.empty()) fail<ArgumentError>("gguf", key, ": expected before the first tensor is declared");
    if (const auto complaint = gguf_alignment_complaint(value); !complaint.empty())
      fail<ArgumentError>("gguf", key, ": ", complaint);
  }
  add_value(key, type, payload);
  if (key == kGgufAlignmentKey) alignment_ = static_cast<uint64_t>(value);
}

void GgufWriter::add_float(std::string_view key, GgufType type, double value) {
  std::vector<std::byte> payload;
  append_float(payload, key, type, value);
  add_value(key, type, payload);
}

void GgufWriter::add_string(std::string_view key, std::string_view value) {
  std::vector<std::byte> payload;
  append_string(payload, value);
  add_value(key, GgufType::String, payload);
}

void GgufWriter::add_ints(std::string_view key, GgufType element, std::span<const int64_t> values) {
  auto payload = array_head(element, values.size());
  for (const int64_t value : values) append_int(payload, key, element, value);
  add_value(key, GgufType::Array, payload);
}

void GgufWriter::add_floats(std::string_view key, GgufType element, std::span<const double> values) {
  auto payload = array_head(element, values.size());
  for (const double value : values) append_float(payload, key, element, value);
  add_value(key, GgufType::Array, payload);
}

void GgufWriter::add_strings(std::string_view key, std::span<const std::string_view> values) {
  auto payload = array_head(GgufType::String, values.size());
  for (const std::string_view value : values) append_string(payload, value);
  add_value(key, GgufType::Array, payload);
}

void GgufWriter::declare_tensor(std::string_view name, DType dtype, const Shape& shape) {
  expect_stage(false, "tensor declarations");
  // Other readers keep names in 64 bytes with a terminator.
  if (const auto complaint = gguf_name_complaint(name, kGgufMaxTensorNameBytes - 1); !complaint.empty())
    fail<ArgumentError>("gguf", path(), ": tensor ", tensors_.size(), ": ", complaint);
  if (const auto complaint = gguf_shape_complaint(dtype, shape); !complaint.empty())
    fail<ArgumentError>("gguf", path(), ": tensor ", name, ": ", complaint);
  const auto bytes = static_cast<uint64_t>(row_bytes(dtype, shape.elements()));
  if (data_bytes_ + bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / 2)
    fail<ArgumentError>("gguf", path(), ": tensor ", name, ": ", bytes, " bytes after ", data_bytes_,
                        " bytes of other tensors are too many for a file");
  if (!tensor_names_.emplace(name).second)
    fail<ArgumentError>("gguf", path(), ": tensor ", name, " was declared already");
  tensors_.push_back({std::string(name), bytes});
  append_string(table_, name);
  append(table_, static_cast<uint32_t>(shape.rank()));
  for (int i = shape.rank(); i-- > 0;) append(table_, static_cast<uint64_t>(shape[i]));
  append(table_, info(dtype).gguf_id);
  append(table_, data_bytes_);
  data_bytes_ = align_up(data_bytes_ + bytes, alignment_);
}

uint64_t GgufWriter::data_begin() const {
  const uint64_t header = kGgufMagic.size() + sizeof(uint32_t) + 2 * sizeof(uint64_t);
  return align_up(header + keys_.size() + table_.size(), alignment_);
}

void GgufWriter::write_header() {
  expect_stage(false, "write_header");
  std::vector<std::byte> head;
  const auto magic = std::as_bytes(std::span(kGgufMagic));
  head.insert(head.end(), magic.begin(), magic.end());
  append(head, kGgufVersion);
  append<uint64_t>(head, tensors_.size());
  append<uint64_t>(head, key_names_.size());
  header_written_ = true;
  file_.write(head);
  file_.write(keys_);
  file_.write(table_);
  pad();
}

void GgufWriter::pad() {
  const std::vector<std::byte> zeros(align_up(file_.size(), alignment_) - file_.size());
  file_.write(zeros);
}

const GgufWriter::Declared& GgufWriter::expect_next(std::string_view name) const {
  expect_stage(true, "tensor data");
  if (next_ == tensors_.size())
    fail<ArgumentError>("gguf", path(), ": tensor ", name, ": all ", next_, " tensors are written already");
  if (tensors_[next_].name != name)
    fail<ArgumentError>("gguf", path(), ": tensor ", tensors_[next_].name, " (", next_, " of ", tensors_.size(),
                        ") expected next, ", name, " found");
  return tensors_[next_];
}

void GgufWriter::write_tensor(std::string_view name, std::span<const std::byte> bytes) {
  const Declared& tensor = expect_next(name);
  if (bytes.size() != tensor.bytes - next_written_)
    fail<ArgumentError>("gguf", path(), ": tensor ", name, ": ", tensor.bytes - next_written_, " bytes expected, ",
                        bytes.size(), " found");
  write_tensor_piece(name, bytes);
}

void GgufWriter::write_tensor_piece(std::string_view name, std::span<const std::byte> bytes) {
  const Declared& tensor = expect_next(name);
  if (bytes.size() > tensor.bytes - next_written_)
    fail<ArgumentError>("gguf", path(), ": tensor ", name, ": at most ", tensor.bytes - next_written_, " of ",
                        tensor.bytes, " bytes expected, ", bytes.size(), " found");
  file_.write(bytes);
  next_written_ += bytes.size();
  if (next_written_ < tensor.bytes) return;
  pad();
  next_written_ = 0;
  ++next_;
}

void GgufWriter::finish() {
  expect_stage(true, "finish");
  if (next_ < tensors_.size())
    fail<ArgumentError>("gguf", path(), ": tensor ", tensors_[next_].name, " (", next_, " of ", tensors_.size(),
                        "): ", next_written_, " of ", tensors_[next_].bytes, " bytes written");
  file_.commit();
}

}  // namespace g4

// Writes a GGUF version 3 file from start to end, one tensor in memory at a time:
//   add_*() every key, declare_tensor() every tensor, write_header(), write_tensor() in declared order, finish().
// The file takes its name in finish(); before that, and after an error, only PATH.part exists, and the destructor
// removes it. Wrong use throws ArgumentError with the numbers; a disk that does not take the bytes, FileError. The data
// is laid out as other readers demand: in table order, each tensor padded to the alignment.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/output_file.h"
#include "gguf/format.h"
#include "gguf/value.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace g4 {

class GgufWriter {
 public:
  explicit GgufWriter(const std::string& path) : file_(path) {}

  // `type` is the type in the file; an integer that does not fit it is an ArgumentError. Integer types include bool.
  void add_int(std::string_view key, GgufType type, int64_t value);
  void add_float(std::string_view key, GgufType type, double value);  // F32 or F64
  void add_bool(std::string_view key, bool value) { add_int(key, GgufType::Bool, value); }
  void add_string(std::string_view key, std::string_view value);
  void add_ints(std::string_view key, GgufType element, std::span<const int64_t> values);
  void add_floats(std::string_view key, GgufType element, std::span<const double> values);
  void add_strings(std::string_view key, std::span<const std::string_view> values);

  // Shape slowest first.
  void declare_tensor(std::string_view name, DType dtype, const Shape& shape);
  void write_header();
  // The next declared tensor, whole, or in pieces of any size.
  void write_tensor(std::string_view name, std::span<const std::byte> bytes);
  void write_tensor_piece(std::string_view name, std::span<const std::byte> bytes);
  // All tensors must have been written. Syncs and renames.
  void finish();
  // Gives up: removes what was written. Does nothing after finish().
  void discard() noexcept { file_.discard(); }

  const std::string& path() const { return file_.path(); }
  // Bytes of the whole file as declared so far.
  uint64_t file_bytes() const { return data_begin() + data_bytes_; }

 private:
  struct Declared {
    std::string name;
    uint64_t bytes = 0;
  };
  void add_value(std::string_view key, GgufType type, std::span<const std::byte> payload);
  void expect_stage(bool header_written, const char* what) const;
  const Declared& expect_next(std::string_view name) const;
  uint64_t data_begin() const;
  void pad();

  OutputFile file_;
  std::vector<std::byte> keys_;   // encoded metadata
  std::vector<std::byte> table_;  // encoded tensor table
  std::unordered_set<std::string> key_names_;
  std::unordered_set<std::string> tensor_names_;
  std::vector<Declared> tensors_;
  uint64_t alignment_ = kGgufDefaultAlignment;
  uint64_t data_bytes_ = 0;
  bool header_written_ = false;
  size_t next_ = 0;            // the tensor being written
  uint64_t next_written_ = 0;  // bytes of it so far
};

}  // namespace g4

// GGUF reader, versions 2 and 3, little endian, single or split files. Memory-mapped; every count, length, offset, type
// and extent is checked against the real file before it is used. Nothing is allocated on the word of the header alone.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mapped_file.h"
#include "gguf/value.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace g4 {

struct GgufTensor {
  std::string name;
  DType dtype = DType::F32;
  Shape shape;  // slowest first: the reverse of the file's order
  std::span<const std::byte> data;
  size_t part = 0;  // index of the file of a split set that holds it
};

class GgufFile {
 public:
  // Opens PATH; when it is one of a split set ("-00001-of-0000N.gguf"), all of the set. A tensor type this engine does
  // not know is an error naming tensor and type. Throws FileError, GgufError.
  static std::shared_ptr<const GgufFile> open(const std::string& path);
  // The same checks over bytes in memory (tests, fuzzing); the bytes must outlive the result.
  static std::shared_ptr<const GgufFile> parse(std::span<const std::byte> bytes, const std::string& name);

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  const std::vector<GgufValue>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const std::vector<std::shared_ptr<MappedFile>>& parts() const { return parts_; }
  uint64_t file_bytes() const;

  const GgufValue* find(std::string_view key) const;           // nullptr when absent
  const GgufTensor* find_tensor(std::string_view name) const;  // nullptr when absent
  const GgufValue& at(std::string_view key) const;             // throws GgufError when absent

 private:
  friend class GgufParser;
  static std::shared_ptr<GgufFile> open_part(const std::string& path, size_t part);
  int64_t split_count() const;
  void check_split(std::string_view key, int64_t expected) const;
  void append(GgufFile&& part);

  std::string path_;
  uint32_t version_ = 0;
  std::vector<std::shared_ptr<MappedFile>> parts_;
  std::vector<GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
  uint64_t bytes_ = 0;
  std::unordered_map<std::string_view, size_t> keys_;  // the views are into the file's bytes
  std::unordered_map<std::string_view, size_t> names_;
};

}  // namespace g4

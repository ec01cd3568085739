#include "gguf/reader.h"

#include <charconv>

#include "base/error.h"
#include "gguf/parser.h"

namespace g4 {
namespace {

// "PREFIX-00002-of-00003.gguf"
struct SplitName {
  std::string prefix;
  int no = 0;  // from 1
  int count = 0;

  std::string path(int part) const {
    const auto five = [](int n) { return std::string(5 - std::to_string(n).size(), '0') + std::to_string(n); };
    return prefix + "-" + five(part) + "-of-" + five(count) + ".gguf";
  }
};

std::optional<int> five_digits(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text[0] == '-' || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<SplitName> split_name(const std::string& path) {
  constexpr std::string_view kForm = "-00000-of-00000.gguf";
  if (path.size() < kForm.size()) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - kForm.size());
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf") return std::nullopt;
  const auto no = five_digits(tail.substr(1, 5));
  const auto count = five_digits(tail.substr(10, 5));
  if (!no || !count || *no < 1 || *no > *count) return std::nullopt;
  return SplitName{path.substr(0, path.size() - kForm.size()), *no, *count};
}

}  // namespace

std::shared_ptr<GgufFile> GgufFile::open_part(const std::string& path, size_t part) {
  auto file = std::make_shared<GgufFile>();
  file->path_ = path;
  file->parts_.push_back(std::make_shared<MappedFile>(path));
  file->bytes_ = file->parts_[0]->bytes().size();
  GgufParser(file->parts_[0]->bytes(), path, part, *file).run();
  return file;
}

int64_t GgufFile::split_count() const {
  const GgufValue* value = find("split.count");
  const int64_t count = value ? value->as_int() : 1;
  if (count < 0) fail<GgufError>("gguf", path_, ": split.count: at least 0 expected, ", count, " found");
  return count == 0 ? 1 : count;  // some writers say 0 for "not split"
}

std::shared_ptr<const GgufFile> GgufFile::open(const std::string& path) {
  auto file = open_part(path, 0);
  const auto split = split_name(path);
  const int64_t count = file->split_count();
  if (!split && count > 1)
    fail<GgufError>("gguf", path, ": split.count: ", count,
                    " parts need names that end in -00001-of-0000N.gguf; this one does not");
  if (!split || (split->count == 1 && count == 1)) return file;

  std::shared_ptr<GgufFile> whole;
  for (int i = 0; i < split->count; ++i) {
    const std::string part_path = split->path(i + 1);
    std::shared_ptr<GgufFile> part;
    try {
      part = open_part(part_path, static_cast<size_t>(i));
    } catch (const FileError& e) {
      fail<FileError>("gguf", "part ", i + 1, " of ", split->count, " of a split file: ", e.what());
    }
    part->check_split("split.count", split->count);
    part->check_split("split.no", i);
    if (whole)
      whole->append(std::move(*part));
    else
      whole = std::move(part);
  }
  whole->check_split("split.tensors.count", static_cast<int64_t>(whole->tensors_.size()));
  whole->path_ = path;
  return whole;
}

void GgufFile::check_split(std::string_view key, int64_t expected) const {
  const int64_t found = at(key).as_int();
  if (found != expected) fail<GgufError>("gguf", path_, ": ", key, ": ", expected, " expected, ", found, " found");
}

// A later part brings its tensors; all metadata but its place in the set is in the first.
void GgufFile::append(GgufFile&& part) {
  for (const auto& [view, index] : part.names_) {
    if (const auto [place, fresh] = names_.try_emplace(view, tensors_.size() + index); !fresh)
      fail<GgufError>("gguf", part.path_, ": tensor ", view, ": each name once expected, parts ",
                      tensors_[place->second].part + 1, " and ", part.tensors_[index].part + 1, " have it");
  }
  std::move(part.tensors_.begin(), part.tensors_.end(), std::back_inserter(tensors_));
  parts_.push_back(std::move(part.parts_[0]));
  bytes_ += part.bytes_;
}

std::shared_ptr<const GgufFile> GgufFile::parse(std::span<const std::byte> bytes, const std::string& name) {
  auto file = std::make_shared<GgufFile>();
  file->path_ = name;
  file->bytes_ = bytes.size();
  GgufParser(bytes, name, 0, *file).run();
  if (const int64_t count = file->split_count(); count > 1)
    fail<GgufError>("gguf", name, ": split.count: 1 expected of bytes in memory, ", count, " found");
  return file;
}

uint64_t GgufFile::file_bytes() const { return bytes_; }

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto found = keys_.find(key);
  return found == keys_.end() ? nullptr : &metadata_[found->second];
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue& GgufFile::at(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) fail<GgufError>("gguf", path_, ": key ", key, " expected, none found");
  return *value;
}

}  // namespace g4

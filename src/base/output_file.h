// A file written from start to end that appears under its name only when it is whole: the bytes go to PATH.part, and
// commit() renames that. Without commit() nothing is left behind. A PATH that exists and is no regular file (a device,
// a pipe) is written directly. Every failure is a FileError with the name, the numbers and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace g4 {

class OutputFile {
 public:
  // Throws FileError: a directory, no such folder, no permission, or PATH.part is being written by another process.
  explicit OutputFile(const std::string& path);
  ~OutputFile() { discard(); }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // After a FileError (a full disk) the file is discarded and its space is free again.
  void write(std::span<const std::byte> bytes);
  // Bytes given to write() so far.
  uint64_t size() const { return written_ + buffer_.size(); }
  // Flushes to the disk and takes the final name.
  void commit();
  // Closes and removes what was written; does nothing after commit().
  void discard() noexcept;

  const std::string& path() const { return path_; }

 private:
  void open_part();
  void write_through(std::span<const std::byte> bytes);
  [[noreturn]] void fail_and_discard(const std::string& what);

  std::string path_;
  std::string part_;  // the name written to; empty when PATH is written directly
  int fd_ = -1;
  uint64_t written_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace g4

// A file mapped read-only. The mapping lives as long as the object.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace g4 {

class MappedFile {
 public:
  // Throws FileError: missing, a directory, unreadable, empty.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Asks the system to start reading the whole range.
  void prefetch() const;
  // Lets go of the pages wholly inside a range of a mapped file: they count as this process's again when next read.
  static void release(std::span<const std::byte> range);

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Anonymous zeroed memory whose pages the system commits at first touch, 64-byte aligned. Throws MemoryError.
class LazyMemory {
 public:
  explicit LazyMemory(size_t bytes);
  // Asks for large pages: for memory that is read from end to end.
  void use_large_pages() const;
  ~LazyMemory();
  LazyMemory(const LazyMemory&) = delete;
  LazyMemory& operator=(const LazyMemory&) = delete;
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Bytes of physical memory: all, and what can be had without swapping and within the group's limits (cgroup.h).
struct SystemMemory {
  size_t total = 0;
  size_t available = 0;
};
SystemMemory system_memory();

}  // namespace g4

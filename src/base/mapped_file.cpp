#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>

#include "base/cgroup.h"
#include "base/error.h"

namespace g4 {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0 && errno == ENOENT) fail<MissingFileError>("file", path, ": no such file");
  if (file.fd < 0) fail<FileError>("file", path, ": ", std::strerror(errno));
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) fail<FileError>("file", path, ": ", std::strerror(errno));
  if (S_ISDIR(status.st_mode)) fail<FileError>("file", path, ": is a directory, a file was expected");
  if (!S_ISREG(status.st_mode)) fail<FileError>("file", path, ": not a regular file");
  if (status.st_size == 0) fail<FileError>("file", path, ": the file is empty");
  size_ = static_cast<size_t>(status.st_size);
  void* map = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd, 0);
  if (map == MAP_FAILED) fail<FileError>("file", path, ": cannot map ", size_, " bytes: ", std::strerror(errno));
  data_ = static_cast<const std::byte*>(map);
}

MappedFile::~MappedFile() { ::munmap(const_cast<std::byte*>(data_), size_); }

void MappedFile::prefetch() const { ::madvise(const_cast<std::byte*>(data_), size_, MADV_WILLNEED); }

void MappedFile::release(std::span<const std::byte> range) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGE_SIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(range.data()) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(range.data() + range.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

LazyMemory::LazyMemory(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) fail<MemoryError>("memory", "cannot allocate ", bytes, " bytes: ", std::strerror(errno));
  data_ = static_cast<std::byte*>(map);
}

void LazyMemory::use_large_pages() const {
  if (data_) ::madvise(data_, size_, MADV_HUGEPAGE);
}

LazyMemory::~LazyMemory() {
  if (data_) ::munmap(data_, size_);
}

SystemMemory system_memory() {
  SystemMemory memory;
  memory.total = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(::sysconf(_SC_PAGE_SIZE));
  memory.available = memory.total;
  std::ifstream info("/proc/meminfo");
  for (std::string key; info >> key;) {
    size_t kib = 0;
    if (key == "MemAvailable:" && info >> kib) memory.available = kib * 1024;
    info.ignore(256, '\n');
  }
  memory.available = std::min(memory.available, static_cast<size_t>(cgroup_limits().memory_available));
  return memory;
}

}  // namespace g4

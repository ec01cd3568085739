#include "base/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace g4 {
namespace {

// Large enough that the system call costs nothing beside the copy, small enough to stay in the L2 cache.
constexpr size_t kBufferBytes = size_t{1} << 20;
// Linux transfers at most this much per write.
constexpr size_t kMaxWrite = 0x7ffff000;

// The rename itself is durable only when the folder is; a folder that cannot be synced is no reason to fail.
void sync_folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

OutputFile::OutputFile(const std::string& path) : path_(path) {
  struct stat status {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail<FileError>("file", path, ": is a directory, a file was expected");
  buffer_.reserve(kBufferBytes);
  if (!exists || S_ISREG(status.st_mode)) {
    open_part();
  } else {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) fail<FileError>("file", path, ": cannot open for writing: ", std::strerror(errno));
  }
}

// The lock keeps two processes from writing the same file; the part file that a killed run left is not locked and is
// written anew. Where locks do not work (some network file systems) the write goes on without.
void OutputFile::open_part() {
  part_ = path_ + ".part";
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) fail<FileError>("file", part_, ": cannot create: ", std::strerror(errno));
  const bool locked_elsewhere = ::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  // Between open and flock another writer may have finished and renamed the file: then it is not ours to empty.
  struct stat opened {};
  struct stat named {};
  const bool same = ::fstat(fd_, &opened) == 0 && ::stat(part_.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
                    opened.st_dev == named.st_dev;
  if (locked_elsewhere || !same) {
    ::close(std::exchange(fd_, -1));
    fail<FileError>("file", part_, ": is being written by another process");
  }
  if (::ftruncate(fd_, 0) != 0) fail_and_discard(concat("cannot empty: ", std::strerror(errno)));
}

void OutputFile::write(std::span<const std::byte> bytes) {
  if (fd_ < 0) fail<FileError>("file", path_, ": cannot write ", bytes.size(), " bytes: the file is closed");
  if (bytes.size() > kBufferBytes - buffer_.size()) {
    write_through(buffer_);
    buffer_.clear();
  }
  if (bytes.size() >= kBufferBytes)
    write_through(bytes);
  else
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void OutputFile::write_through(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(fd_, bytes.data(), std::min(bytes.size(), kMaxWrite));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      const int reason = done < 0 ? errno : EIO;
      fail_and_discard(
          concat("cannot write ", bytes.size(), " bytes at offset ", written_, ": ", std::strerror(reason)));
    }
    written_ += static_cast<uint64_t>(done);
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
}

void OutputFile::commit() {
  if (fd_ < 0) fail<FileError>("file", path_, ": cannot finish: the file is closed");
  write_through(buffer_);
  buffer_.clear();
  // Devices and pipes cannot be synced; they say EINVAL.
  if (::fsync(fd_) != 0 && !part_.empty())
    fail_and_discard(concat("cannot write ", written_, " bytes to the disk: ", std::strerror(errno)));
  if (!part_.empty() && ::rename(part_.c_str(), path_.c_str()) != 0)
    fail_and_discard(concat("cannot rename to ", path_, ": ", std::strerror(errno)));
  // Closed after the rename: the lock must not end before the file has its name.
  ::close(std::exchange(fd_, -1));
  if (!part_.empty()) sync_folder_of(path_);
}

void OutputFile::discard() noexcept {
  if (fd_ < 0) return;
  if (!part_.empty()) ::unlink(part_.c_str());
  ::close(std::exchange(fd_, -1));
  buffer_.clear();
}

void OutputFile::fail_and_discard(const std::string& what) {
  discard();
  fail<FileError>("file", part_.empty() ? path_ : part_, ": ", what);
}

}  // namespace g4

#include "data/storage/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

std::string reason(int code) {
  return std::generic_category().message(code);
}

[[noreturn]] void disk_failure(const std::filesystem::path& path, const char* action, int code) {
  throw DiskError(
      fmt::format("disk: {} must succeed; got '{}' ({}): check free space, quota and permissions of {}",
                  action, reason(code), path.string(), path.parent_path().string()));
}

/// Reads up to `size` bytes; returns how many there were before the end of the file.
std::size_t read_some_at(int fd, const std::filesystem::path& path, std::uint64_t offset, void* out,
                         std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count =
        ::pread(fd, static_cast<char*>(out) + done, size - done, static_cast<off_t>(offset + done));
    if (count == 0) break;
    if (count < 0) {
      if (errno == EINTR) continue;
      disk_failure(path, "reading", errno);
    }
    done += static_cast<std::size_t>(count);
  }
  return done;
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

int Descriptor::release() {
  return std::exchange(fd_, -1);
}

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO must not hang before fstat can refuse it.
  descriptor_ = Descriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (descriptor_.get() < 0) {
    const int code = errno;
    throw DataError(fmt::format("data: a file must exist and be readable; got '{}' ({}): check the path",
                                reason(code), path_.string()));
  }
  struct stat status {};
  if (::fstat(descriptor_.get(), &status) != 0) disk_failure(path_, "fstat", errno);
  if (!S_ISREG(status.st_mode))
    throw DataError(fmt::format("data: a regular file is wanted; got {} ({})",
                                S_ISDIR(status.st_mode) ? "a folder" : "a special file", path_.string()));
  size_ = static_cast<std::uint64_t>(status.st_size);
}

void InputFile::read_at(std::uint64_t offset, void* out, std::size_t size) const {
  const std::size_t found = read_some_at(descriptor_.get(), path_, offset, out, size);
  if (found != size)
    throw DataError(
        fmt::format("data: {} bytes must follow byte {}; got {} ({}): the file was shortened while it was "
                    "read",
                    size, offset, found, path_.string()));
}

OutputFile::OutputFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = Descriptor(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (descriptor_.get() < 0) disk_failure(path_, "creating a file", errno);
}

void OutputFile::append(const void* bytes, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = ::write(descriptor_.get(), static_cast<const char*>(bytes) + done, size - done);
    if (count < 0) {
      if (errno == EINTR) continue;
      disk_failure(path_, "writing", errno);
    }
    done += static_cast<std::size_t>(count);
  }
  size_ += size;
}

void OutputFile::read_at(std::uint64_t offset, void* out, std::size_t size) const {
  if (read_some_at(descriptor_.get(), path_, offset, out, size) != size)
    throw DiskError(fmt::format("disk: {} bytes written at byte {} must be readable again ({})", size, offset,
                                path_.string()));
}

void OutputFile::sync_and_close() {
  if (::fsync(descriptor_.get()) != 0) disk_failure(path_, "fsync", errno);
  // NFS reports a full disk or quota only here.
  if (::close(descriptor_.release()) != 0) disk_failure(path_, "close", errno);
}

MappedFile::MappedFile(const InputFile& file) : size_(file.size()) {
  if (size_ == 0) throw DataError(fmt::format("data: the file must not be empty ({})", file.path().string()));
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (address == MAP_FAILED) disk_failure(file.path(), "mmap", errno);
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

void sync_path(const std::filesystem::path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) disk_failure(path, "open before fsync", errno);
  if (::fsync(descriptor.get()) != 0) disk_failure(path, "fsync", errno);
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) disk_failure(to, "rename", errno);
  sync_path(folder_of(to));
  if (folder_of(from) != folder_of(to)) sync_path(folder_of(from));
}

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  const std::filesystem::path temporary =
      folder_of(path) / fmt::format(".{}.partial", path.filename().string());
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);  // left by a process that died here
  try {
    OutputFile file(temporary);
    file.append(contents.data(), contents.size());
    file.sync_and_close();
    rename_durably(temporary, path);
  } catch (...) {
    std::filesystem::remove(temporary, ignored);
    throw;
  }
}

std::string read_whole_file(const std::filesystem::path& path, std::uint64_t limit_bytes) {
  const InputFile file(path);
  if (file.size() > limit_bytes)
    throw DataError(fmt::format("data: the file must have at most {} bytes; got {} ({})", limit_bytes,
                                file.size(), path.string()));
  std::string contents(file.size(), '\0');
  file.read_at(0, contents.data(), contents.size());
  return contents;
}

}  // namespace switchyard::data

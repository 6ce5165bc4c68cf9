#include "data/io/real_io.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>

namespace switchyard::data {
namespace {

constexpr auto kLockPause = std::chrono::milliseconds(20);

/// Repeats a call that a signal interrupted.
template <typename Call>
auto retry(Call call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int take() { return std::exchange(value_, -1); }

 private:
  int value_;
};

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const auto parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

}  // namespace

ssize_t RealIo::system_pwrite(int descriptor, const void* bytes, std::size_t size, off_t offset) {
  return ::pwrite(descriptor, bytes, size, offset);
}
ssize_t RealIo::system_pread(int descriptor, void* bytes, std::size_t size, off_t offset) {
  return ::pread(descriptor, bytes, size, offset);
}
int RealIo::system_fallocate(int descriptor, off_t size) {
  return ::fallocate(descriptor, 0, 0, size);
}
int RealIo::system_fdatasync(int descriptor) {
  return ::fdatasync(descriptor);
}
int RealIo::system_fsync(int descriptor) {
  return ::fsync(descriptor);
}
int RealIo::system_close(int descriptor) {
  return ::close(descriptor);
}
int RealIo::system_flock(int descriptor) {
  return ::flock(descriptor, LOCK_EX | LOCK_NB);
}

OpenFile RealIo::create(const std::filesystem::path& path) {
  const int descriptor =
      retry([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644); });
  if (descriptor < 0) throw_io_failure(IoCall::create, path, errno);
  return {descriptor, path};
}

OpenFile RealIo::open_read(const std::filesystem::path& path, FolderLink folder) {
  // The folder is opened first and the file relative to it: between a check and an open, nobody can put a
  // link in the way. O_NONBLOCK: opening a pipe must not wait for a writer.
  const int no_follow = folder == FolderLink::refused ? O_NOFOLLOW : 0;
  const Descriptor parent(
      retry([&] { return ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | no_follow); }));
  if (parent.get() < 0) throw_io_failure(IoCall::open_read, path, errno);
  Descriptor file(retry([&] {
    return ::openat(parent.get(), path.filename().c_str(),
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  }));
  if (file.get() < 0) throw_io_failure(IoCall::open_read, path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw_io_failure(IoCall::open_read, path, errno);
  if (!S_ISREG(status.st_mode))
    throw FileIoError("file: '" + path.string() + "' must be a regular file",
                      {IoCall::open_read, path, S_ISDIR(status.st_mode) ? EISDIR : EINVAL});
  return {file.take(), path};
}

void RealIo::write(const OpenFile& file, std::int64_t offset, const void* bytes, std::size_t size) {
  const auto* next = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t count =
        retry([&] { return system_pwrite(file.id, next, size, static_cast<off_t>(offset)); });
    // A count of zero for a non-empty write says that the device takes no more.
    if (count <= 0) throw_io_failure(IoCall::write, file.path, count < 0 ? errno : ENOSPC);
    next += count;
    offset += count;
    size -= static_cast<std::size_t>(count);
  }
}

std::size_t RealIo::read(const OpenFile& file, std::int64_t offset, void* bytes, std::size_t size) {
  auto* next = static_cast<char*>(bytes);
  std::size_t total = 0;
  while (total < size) {
    const ssize_t count = retry([&] {
      return system_pread(file.id, next + total, size - total,
                          static_cast<off_t>(offset) + static_cast<off_t>(total));
    });
    if (count < 0) throw_io_failure(IoCall::read, file.path, errno);
    if (count == 0) break;
    total += static_cast<std::size_t>(count);
  }
  return total;
}

std::int64_t RealIo::size_bytes(const OpenFile& file) {
  struct stat status {};
  if (::fstat(file.id, &status) != 0) throw_io_failure(IoCall::stat, file.path, errno);
  return status.st_size;
}

void RealIo::preallocate(const OpenFile& file, std::int64_t size_bytes) {
  if (size_bytes <= 0) return;
  // fallocate and not posix_fallocate: the latter writes a byte into every block where the file system cannot
  // reserve, which costs as much as the data and reserves no better.
  if (retry([&] { return system_fallocate(file.id, static_cast<off_t>(size_bytes)); }) != 0 &&
      errno != EOPNOTSUPP && errno != ENOSYS)
    throw_io_failure(IoCall::preallocate, file.path, errno);
}

void RealIo::sync_file(const OpenFile& file) {
  if (retry([&] { return system_fdatasync(file.id); }) != 0)
    throw_io_failure(IoCall::sync_file, file.path, errno);
}

void RealIo::close(const OpenFile& file) {
  // Not repeated after EINTR: Linux has closed the descriptor, and another thread may own the number by then.
  if (system_close(file.id) != 0 && errno != EINTR) throw_io_failure(IoCall::close, file.path, errno);
}

void RealIo::release(const OpenFile& file) noexcept {
  ::close(file.id);
}

void RealIo::sync_folder(const std::filesystem::path& folder) {
  const Descriptor descriptor(
      retry([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (descriptor.get() < 0) throw_io_failure(IoCall::sync_folder, folder, errno);
  // EINVAL: some network file systems have no fsync for folders; their renames are synchronous.
  if (retry([&] { return system_fsync(descriptor.get()); }) != 0 && errno != EINVAL)
    throw_io_failure(IoCall::sync_folder, folder, errno);
}

void RealIo::make_folder(const std::filesystem::path& folder) {
  if (::mkdir(folder.c_str(), 0755) != 0) throw_io_failure(IoCall::make_folder, folder, errno);
}

void RealIo::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw_io_failure(IoCall::rename, from, errno);
}

void RealIo::unlink(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0) throw_io_failure(IoCall::unlink, path, errno);
}

void RealIo::remove_folder(const std::filesystem::path& folder) {
  if (::rmdir(folder.c_str()) != 0) throw_io_failure(IoCall::remove_folder, folder, errno);
}

std::vector<std::string> RealIo::list(const std::filesystem::path& folder) {
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> dir(::opendir(folder.c_str()));
  if (!dir) throw_io_failure(IoCall::list, folder, errno);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr) {
      if (errno != 0) throw_io_failure(IoCall::list, folder, errno);
      break;
    }
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

EntryStatus RealIo::stat(const std::filesystem::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    throw_io_failure(IoCall::stat, path, errno);
  }
  if (S_ISREG(status.st_mode)) return {EntryKind::file, status.st_size};
  if (S_ISDIR(status.st_mode)) return {EntryKind::folder, 0};
  if (S_ISLNK(status.st_mode)) return {EntryKind::link, 0};
  return {EntryKind::other, 0};
}

std::int64_t RealIo::free_bytes(const std::filesystem::path& path) {
  struct statvfs status {};
  if (retry([&] { return ::statvfs(path.c_str(), &status); }) != 0)
    throw_io_failure(IoCall::free_space, path, errno);
  return static_cast<std::int64_t>(status.f_bavail) * static_cast<std::int64_t>(status.f_frsize);
}

OpenFile RealIo::lock(const std::filesystem::path& path) {
  Descriptor file(
      retry([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644); }));
  if (file.get() < 0) throw_io_failure(IoCall::lock, path, errno);
  const auto deadline = std::chrono::steady_clock::now() + lock_patience_;
  // Not a waiting flock: a stopped holder would stop us with it.
  while (system_flock(file.get()) != 0) {
    if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) break;
    if (errno != EWOULDBLOCK && errno != EINTR) throw_io_failure(IoCall::lock, path, errno);
    if (std::chrono::steady_clock::now() > deadline) throw_io_failure(IoCall::lock, path, EWOULDBLOCK);
    std::this_thread::sleep_for(kLockPause);
  }
  return {file.take(), path};
}

}  // namespace switchyard::data

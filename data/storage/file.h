// Files as values: descriptors that close themselves, whole reads, durable and atomic writes.
// A rename makes a file visible; it is durable once the folder is synced too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace switchyard::data {

/// Owns one POSIX descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }
  int release();

 private:
  int fd_;
};

/// A regular file opened for reading. Throws DataError where it is missing, unreadable or not a regular file.
class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);
  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  int descriptor() const { return descriptor_.get(); }
  /// Fills `out` from `offset`. Throws DataError where the file ends first, DiskError where the device fails.
  void read_at(std::uint64_t offset, void* out, std::size_t size) const;

 private:
  std::filesystem::path path_;
  Descriptor descriptor_;
  std::uint64_t size_ = 0;
};

/// A new file that is written from front to back and may be read back. Throws DiskError; refuses an existing
/// name. The file stays as it is if the object dies: whoever made the name removes it.
class OutputFile {
 public:
  explicit OutputFile(std::filesystem::path path);
  void append(const void* bytes, std::size_t size);
  void read_at(std::uint64_t offset, void* out, std::size_t size) const;
  std::uint64_t size() const { return size_; }
  /// fsync and close, both checked. After a failure the file must be thrown away: a second fsync proves
  /// nothing.
  void sync_and_close();

 private:
  std::filesystem::path path_;
  Descriptor descriptor_;
  std::uint64_t size_ = 0;
};

/// The bytes of a file, mapped read-only and shared. Another process that shortens the file while it is
/// mapped makes a later access fail with SIGBUS; files that are replaced by rename do not.
class MappedFile {
 public:
  /// Throws DataError for an empty file, DiskError where mapping fails.
  explicit MappedFile(const InputFile& file);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  const std::byte* data() const { return data_; }
  std::uint64_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

/// fsync of a file or folder by name. Throws DiskError.
void sync_path(const std::filesystem::path& path);

/// Renames within one folder or between two, then syncs the folders touched. Throws DiskError.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

/// Gives `path` these contents whole or not at all: dot-named temporary beside it, fsync, rename, fsync of
/// the folder. The temporary is removed where writing fails. Throws DiskError.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

/// The whole file, refused with DataError where it is longer than `limit_bytes`.
std::string read_whole_file(const std::filesystem::path& path, std::uint64_t limit_bytes);

}  // namespace switchyard::data

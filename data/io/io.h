// The file-system calls that durable files are made of, behind one interface: the real one, one that fails on
// demand, one that remembers what a crash could lose. Not a general file layer: it has what the checkpoint
// store and the safetensors files need, and every call either did all of its work or throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/error.h"

namespace switchyard::data {

enum class IoCall : std::uint8_t {
  create,
  open_read,
  write,
  read,
  preallocate,
  sync_file,
  sync_folder,
  close,
  make_folder,
  rename,
  unlink,
  remove_folder,
  list,
  stat,
  free_space,
  lock
};
std::string_view io_call_name(IoCall call);

/// What a failed call was. Mixed into both exception classes below, so that code can catch it by this type.
struct IoFailure {
  IoCall call;
  std::filesystem::path path;
  int number;  // errno
};
/// The disk is full, read-only, gone or failing (ENOSPC, EDQUOT, EROFS, EIO, EFBIG, ESTALE and their like).
struct DiskIoError : DiskError, IoFailure {
  DiskIoError(const std::string& message, IoFailure failure)
      : DiskError(message), IoFailure(std::move(failure)) {}
};
/// The name is wrong, missing, taken or forbidden; the user can mend that.
struct FileIoError : UserError, IoFailure {
  FileIoError(const std::string& message, IoFailure failure)
      : UserError(message), IoFailure(std::move(failure)) {}
};
/// Throws DiskIoError or FileIoError, whichever fits `number`.
[[noreturn]] void throw_io_failure(IoCall call, const std::filesystem::path& path, int number);

enum class EntryKind : std::uint8_t { absent, file, folder, link, other };
struct EntryStatus {
  EntryKind kind = EntryKind::absent;
  std::int64_t size_bytes = 0;
};

/// A file that an Io has opened. Plain value; File below closes it.
struct OpenFile {
  int id = -1;
  std::filesystem::path path;
};

/// May the folder that holds a file be a symbolic link? The file itself never may.
enum class FolderLink : std::uint8_t { refused, followed };

/// Every call throws DiskIoError or FileIoError. Safe to call from several threads on different files.
class Io {
 public:
  virtual ~Io() = default;

  /// A new file to write; refused when anything already has the name.
  virtual OpenFile create(const std::filesystem::path& path) = 0;
  /// A regular file to read. Symbolic links, devices, pipes and sockets are refused.
  virtual OpenFile open_read(const std::filesystem::path& path, FolderLink folder) = 0;
  /// Writes all `size` bytes at `offset`.
  virtual void write(const OpenFile& file, std::int64_t offset, const void* bytes, std::size_t size) = 0;
  /// Reads `size` bytes at `offset`; returns fewer only when the file ends first.
  virtual std::size_t read(const OpenFile& file, std::int64_t offset, void* bytes, std::size_t size) = 0;
  virtual std::int64_t size_bytes(const OpenFile& file) = 0;
  /// Reserves space, so that a full disk shows before data is written. The file gets this size. File systems
  /// that cannot reserve do nothing.
  virtual void preallocate(const OpenFile& file, std::int64_t size_bytes) = 0;
  /// fdatasync. After a failure the file's data is lost for good: a second try proves nothing.
  virtual void sync_file(const OpenFile& file) = 0;
  /// Closes and reports what the close reports (network file systems report a full disk here).
  virtual void close(const OpenFile& file) = 0;
  /// Closes on the way out of a failure; reports nothing and is no fault point.
  virtual void release(const OpenFile& file) noexcept = 0;
  /// Makes the names inside the folder durable.
  virtual void sync_folder(const std::filesystem::path& folder) = 0;
  virtual void make_folder(const std::filesystem::path& folder) = 0;
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  virtual void unlink(const std::filesystem::path& path) = 0;
  virtual void remove_folder(const std::filesystem::path& folder) = 0;
  /// Names in the folder, sorted, without "." and "..".
  virtual std::vector<std::string> list(const std::filesystem::path& folder) = 0;
  /// Looks at the name itself and follows no link.
  virtual EntryStatus stat(const std::filesystem::path& path) = 0;
  /// Bytes an ordinary user may still write on the file system that holds `path`.
  virtual std::int64_t free_bytes(const std::filesystem::path& path) = 0;
  /// Opens (creates if need be) `path` and holds an exclusive advisory lock on it until it is closed or the
  /// process ends. Waits up to ten seconds for another holder. Where the file system has no such locks, the
  /// file is opened without.
  virtual OpenFile lock(const std::filesystem::path& path) = 0;
};

/// Owns an OpenFile: close() reports, the destructor only lets go.
class File {
 public:
  File(Io& io, OpenFile file) : io_(&io), file_(std::move(file)) {}
  ~File() { release(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  File(File&& other) noexcept : io_(other.io_), file_(std::move(other.file_)) { other.file_.id = -1; }
  File& operator=(File&&) = delete;

  const OpenFile& open_file() const { return file_; }
  const std::filesystem::path& path() const { return file_.path; }
  void write(std::int64_t offset, const void* bytes, std::size_t size) {
    io_->write(file_, offset, bytes, size);
  }
  std::size_t read(std::int64_t offset, void* bytes, std::size_t size) {
    return io_->read(file_, offset, bytes, size);
  }
  std::int64_t size_bytes() const { return io_->size_bytes(file_); }
  void preallocate(std::int64_t size) { io_->preallocate(file_, size); }
  void sync() { io_->sync_file(file_); }
  /// The descriptor is gone even when this throws: a second close could hit somebody else's file.
  void close();

 private:
  void release() noexcept;
  Io* io_;
  OpenFile file_;
};

/// Creates the file, writes `text`, syncs and closes it. The folder is not synced.
void write_whole_file(Io& io, const std::filesystem::path& path, std::string_view text);
/// Reads a file of at most `max_bytes`; throws DataError if it is longer.
std::string read_whole_file(Io& io, const std::filesystem::path& path, FolderLink folder,
                            std::int64_t max_bytes);

}  // namespace switchyard::data

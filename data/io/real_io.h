// The kernel's file system: interrupted calls are repeated, short counts continued, every return value
// checked.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "data/io/io.h"

namespace switchyard::data {

class RealIo : public Io {
 public:
  OpenFile create(const std::filesystem::path& path) override;
  OpenFile open_read(const std::filesystem::path& path, FolderLink folder) override;
  void write(const OpenFile& file, std::int64_t offset, const void* bytes, std::size_t size) override;
  std::size_t read(const OpenFile& file, std::int64_t offset, void* bytes, std::size_t size) override;
  std::int64_t size_bytes(const OpenFile& file) override;
  void preallocate(const OpenFile& file, std::int64_t size_bytes) override;
  void sync_file(const OpenFile& file) override;
  void close(const OpenFile& file) override;
  void release(const OpenFile& file) noexcept override;
  void sync_folder(const std::filesystem::path& folder) override;
  void make_folder(const std::filesystem::path& folder) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void unlink(const std::filesystem::path& path) override;
  void remove_folder(const std::filesystem::path& folder) override;
  std::vector<std::string> list(const std::filesystem::path& folder) override;
  EntryStatus stat(const std::filesystem::path& path) override;
  std::int64_t free_bytes(const std::filesystem::path& path) override;
  OpenFile lock(const std::filesystem::path& path) override;

 protected:
  /// The calls that the kernel may cut short or interrupt, apart so that a test can play such a kernel.
  virtual ssize_t system_pwrite(int descriptor, const void* bytes, std::size_t size, off_t offset);
  virtual ssize_t system_pread(int descriptor, void* bytes, std::size_t size, off_t offset);
  virtual int system_fallocate(int descriptor, off_t size);
  virtual int system_fdatasync(int descriptor);
  virtual int system_fsync(int descriptor);
  virtual int system_close(int descriptor);
  virtual int system_flock(int descriptor);  ///< for an exclusive lock, without waiting
  std::chrono::milliseconds lock_patience_{10'000};
};

}  // namespace switchyard::data

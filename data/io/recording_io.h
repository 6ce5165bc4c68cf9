// A file system in memory that remembers what has been synced and what has not, so that a test can ask for
// any state in which a power loss could leave the disk.
//
// The model is the pessimistic reading of POSIX:
//   - data written since the last sync_file may be on disk or not, sector by sector, in any combination; the
//   size
//     may be the old one, the new one or between; sectors that never arrived hold zeros or stale bytes;
//   - names created, renamed or removed since the last sync_folder of their folder may have changed or not,
//   in
//     any combination that can exist (a rename is one change: the old name or the new one, never neither);
//   - sync_file does not make the file's name durable, and sync_folder does not make the file's data durable.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "data/io/io.h"

namespace switchyard::data {

class RecordingIo : public Io {
 public:
  /// An empty "/" with `capacity_bytes` of space for file contents.
  explicit RecordingIo(std::int64_t capacity_bytes = std::int64_t{1} << 40);
  ~RecordingIo() override;

  /// One legal state of the disk after a power loss now; which one depends on `seed` only.
  std::unique_ptr<RecordingIo> crash_image(std::uint64_t seed) const;
  /// Everything as it is now, as if all had been synced.
  std::unique_ptr<RecordingIo> copy() const;
  /// The bytes of a file, to be looked at or damaged; the change counts as synced. Throws if there is none.
  std::string& contents(const std::filesystem::path& path);
  void set_capacity(std::int64_t bytes) { capacity_bytes_ = bytes; }

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

 private:
  struct Node;
  using NodePointer = std::shared_ptr<Node>;
  class Imager;

  NodePointer find(const std::filesystem::path& path) const;
  NodePointer folder(IoCall call, const std::filesystem::path& path) const;
  Node& opened(IoCall call, const OpenFile& file) const;
  OpenFile open(NodePointer node, const std::filesystem::path& path);
  void grow(IoCall call, const OpenFile& file, Node& node, std::size_t size);
  std::int64_t used_bytes(const Node& node) const;

  NodePointer root_;
  std::map<int, NodePointer> open_files_;
  int next_id_ = 0;
  std::int64_t capacity_bytes_;
  mutable std::mutex mutex_;
};

}  // namespace switchyard::data

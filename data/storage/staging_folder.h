// A folder that appears whole or not at all: it is filled under a dot name beside its final place and
// renamed.
#pragma once

#include <filesystem>

#include "data/storage/file.h"

namespace switchyard::data {

class StagingFolder {
 public:
  /// Makes `.<name>.partial` beside `target`, after removing one that a dead process left. A lock on the
  /// folder (flock) tells a living writer from a dead one. Throws UserError where another process is filling
  /// it, DiskError where the disk refuses.
  explicit StagingFolder(std::filesystem::path target);
  /// Removes the folder with all that is in it unless commit() succeeded.
  ~StagingFolder();
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;

  const std::filesystem::path& path() const { return staging_; }
  /// Syncs and renames to the target, which must not exist or be an empty folder unless `replace`: then it is
  /// swapped out in one step where the file system can (RENAME_EXCHANGE), and its old contents are removed.
  /// Throws DiskError, UserError where the target is there and must not be replaced.
  void commit(bool replace);

 private:
  std::filesystem::path target_;
  std::filesystem::path staging_;
  Descriptor lock_;
  bool committed_ = false;
};

}  // namespace switchyard::data

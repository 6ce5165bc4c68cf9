#include "data/storage/staging_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

[[noreturn]] void folder_failure(const std::filesystem::path& path, const char* action, int code) {
  throw DiskError(fmt::format("disk: {} must succeed; got '{}' ({}): check free space and permissions",
                              action, std::generic_category().message(code), path.string()));
}

/// True while `path` still names the folder behind the descriptor: between open and flock its owner may have
/// renamed it to its final place.
bool names_folder(const std::filesystem::path& path, int descriptor) {
  struct stat by_path {};
  struct stat by_descriptor {};
  return ::stat(path.c_str(), &by_path) == 0 && ::fstat(descriptor, &by_descriptor) == 0 &&
         by_path.st_dev == by_descriptor.st_dev && by_path.st_ino == by_descriptor.st_ino;
}

Descriptor lock_folder(const std::filesystem::path& path) {
  for (;;) {
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) folder_failure(path, "making a folder", errno);
    Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (folder.get() < 0) {
      if (errno == ENOENT) continue;
      folder_failure(path, "opening a folder", errno);
    }
    // File systems without locks (some NFS) answer ENOLCK or EOPNOTSUPP: there the check is left out.
    if (::flock(folder.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      throw UserError(
          fmt::format("data: one process at a time may write a folder; another holds {}: wait for it or "
                      "choose another output",
                      path.string()));
    if (names_folder(path, folder.get())) return folder;
  }
}

}  // namespace

StagingFolder::StagingFolder(std::filesystem::path target) : target_(std::move(target)) {
  target_ = std::filesystem::absolute(target_).lexically_normal();
  if (!target_.has_filename()) target_ = target_.parent_path();
  std::error_code error;
  std::filesystem::create_directories(target_.parent_path(), error);
  if (error) folder_failure(target_.parent_path(), "making a folder", error.value());
  staging_ = target_.parent_path() / fmt::format(".{}.partial", target_.filename().string());
  lock_ = lock_folder(staging_);
  for (const auto& entry : std::filesystem::directory_iterator(staging_))
    if (std::filesystem::remove_all(entry.path(), error); error)
      folder_failure(entry.path(), "removing what an interrupted run left", error.value());
}

StagingFolder::~StagingFolder() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove_all(staging_, ignored);
}

void StagingFolder::commit(bool replace) {
  sync_path(staging_);
  const auto parent = target_.parent_path();
  if (::rename(staging_.c_str(), target_.c_str()) == 0) {
    committed_ = true;
    sync_path(parent);
    return;
  }
  if (errno != EEXIST && errno != ENOTEMPTY) folder_failure(target_, "rename", errno);
  if (!replace)
    throw UserError(fmt::format("data: the output folder must not exist yet; it appeared meanwhile ({})",
                                target_.string()));
  const auto old = parent / fmt::format(".{}.replaced", target_.filename().string());
  std::error_code error;
  if (::renameat2(AT_FDCWD, staging_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
    committed_ = true;
    sync_path(parent);
    std::filesystem::remove_all(staging_, error);
    return;
  }
  std::filesystem::remove_all(old, error);
  if (::rename(target_.c_str(), old.c_str()) != 0) folder_failure(target_, "rename", errno);
  if (::rename(staging_.c_str(), target_.c_str()) != 0) {
    const int code = errno;
    (void)::rename(old.c_str(), target_.c_str());  // the old folder comes back; the error below says the rest
    folder_failure(target_, "rename", code);
  }
  committed_ = true;
  sync_path(parent);
  std::filesystem::remove_all(old, error);
}

}  // namespace switchyard::data

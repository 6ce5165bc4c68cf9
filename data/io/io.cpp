#include "data/io/io.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace switchyard::data {

std::string_view io_call_name(IoCall call) {
  constexpr std::array<std::string_view, 16> kNames = {
      "create",  "open",  "write",  "read",   "fallocate", "fdatasync", "fsync of the folder",
      "close",   "mkdir", "rename", "unlink", "rmdir",     "readdir",   "stat",
      "statvfs", "flock"};
  return kNames.at(static_cast<std::size_t>(call));
}

namespace {

bool is_disk_failure(int number) {
  switch (number) {
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EIO:
    case EFBIG:
    case ESTALE:
    case ENODEV:
    case ENXIO:
    case ETIMEDOUT:
    case EREMOTEIO:
      return true;
    default:
      return false;
  }
}

std::string_view advice(int number) {
  switch (number) {
    case ENOSPC:
    case EDQUOT:
      return "; free space there or give another folder";
    case EROFS:
      return "; the file system is mounted read-only";
    case EMFILE:
    case ENFILE:
      return "; raise the limit of open files (ulimit -n)";
    case ELOOP:
      return "; symbolic links are not followed here";
    default:
      return "";
  }
}

}  // namespace

void throw_io_failure(IoCall call, const std::filesystem::path& path, int number) {
  const std::string message = fmt::format("file: {} of '{}' failed: {}{}", io_call_name(call), path.string(),
                                          std::generic_category().message(number), advice(number));
  if (is_disk_failure(number)) throw DiskIoError(message, {call, path, number});
  throw FileIoError(message, {call, path, number});
}

void File::close() {
  const OpenFile file = file_;
  file_.id = -1;
  io_->close(file);
}

void File::release() noexcept {
  if (file_.id >= 0) io_->release(file_);
  file_.id = -1;
}

void write_whole_file(Io& io, const std::filesystem::path& path, std::string_view text) {
  File file(io, io.create(path));
  file.write(0, text.data(), text.size());
  file.sync();
  file.close();
}

std::string read_whole_file(Io& io, const std::filesystem::path& path, FolderLink folder,
                            std::int64_t max_bytes) {
  File file(io, io.open_read(path, folder));
  const std::int64_t size = file.size_bytes();
  if (size > max_bytes)
    throw DataError(
        fmt::format("file: '{}' may have at most {} bytes; got {}", path.string(), max_bytes, size));
  std::string text(static_cast<std::size_t>(size), '\0');
  text.resize(file.read(0, text.data(), text.size()));
  file.close();
  return text;
}

}  // namespace switchyard::data

#include "data/safetensors/safetensors_file.h"

#include <fmt/format.h>

#include "kernels/runtime/check.h"

namespace switchyard::data {
namespace {
constexpr std::size_t kGatherBytes = std::size_t{64} << 10;
}

SafetensorsWriter::SafetensorsWriter(Io& io, const std::filesystem::path& path,
                                     std::vector<SafetensorsSpec> specs,
                                     const std::map<std::string, std::string>& metadata)
    : file_(io, io.create(path)) {
  std::tie(header_, opening_) = plan_safetensors(std::move(specs), metadata);
  file_bytes_ = header_.entries.empty() ? header_.data_begin : header_.entries.back().end;
  file_.preallocate(file_bytes_);
  append(opening_.data(), opening_.size());
}

void SafetensorsWriter::append(const void* bytes, std::size_t size) {
  if (gathered_.size() + size < kGatherBytes) {
    gathered_.append(static_cast<const char*>(bytes), size);
    return;
  }
  flush();
  if (size < kGatherBytes) {
    gathered_.append(static_cast<const char*>(bytes), size);
    return;
  }
  file_.write(offset_, bytes, size);
  offset_ += static_cast<std::int64_t>(size);
}

void SafetensorsWriter::flush() {
  if (gathered_.empty()) return;
  file_.write(offset_, gathered_.data(), gathered_.size());
  offset_ += static_cast<std::int64_t>(gathered_.size());
  gathered_.clear();
}

void SafetensorsWriter::finish() {
  flush();
  SWITCHYARD_CHECK(offset_ == file_bytes_, "'{}' was planned with {} bytes; got {}", file_.path().string(),
                   file_bytes_, offset_);
  file_.sync();
  file_.close();
}

SafetensorsReader::SafetensorsReader(Io& io, const std::filesystem::path& path)
    : file_(io, io.open_read(path, FolderLink::followed)),
      header_(read_safetensors_header(io, file_.open_file())) {
  for (std::size_t i = 0; i < header_.entries.size(); ++i) index_[header_.entries[i].name] = i;
}

const SafetensorsEntry* SafetensorsReader::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.entries[found->second];
}

void SafetensorsReader::read(const SafetensorsEntry& entry, std::int64_t offset, void* bytes,
                             std::size_t size) {
  SWITCHYARD_CHECK(offset >= 0 && entry.begin + offset + static_cast<std::int64_t>(size) <= entry.end,
                   "tensor '{}' has {} bytes; asked for {} at {}", entry.name, entry.end - entry.begin, size,
                   offset);
  if (file_.read(entry.begin + offset, bytes, size) != size)
    throw DataError(fmt::format("{}: the file became shorter while it was read", file_.path().string()));
}

}  // namespace switchyard::data

// Writing and reading whole safetensors files in a stream.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/io/io.h"
#include "data/safetensors/header.h"

namespace switchyard::data {

/// Writes one new file. Usage: construct; append() the bytes of header().entries in that order, in pieces of
/// any size; finish(). Pieces of 64 KiB and more go to the file from where they are; smaller ones are
/// gathered first. A writer that is dropped before finish() leaves a torn file: write under a temporary name.
class SafetensorsWriter {
 public:
  /// Creates the file (nothing may have the name), reserves its whole size, writes the header.
  SafetensorsWriter(Io& io, const std::filesystem::path& path, std::vector<SafetensorsSpec> specs,
                    const std::map<std::string, std::string>& metadata);

  const SafetensorsHeader& header() const { return header_; }
  /// The bytes before the first tensor.
  const std::string& opening() const { return opening_; }
  std::int64_t file_bytes() const { return file_bytes_; }
  void append(const void* bytes, std::size_t size);
  /// Syncs the data and closes. Throws InternalError unless exactly the planned bytes were appended.
  void finish();

 private:
  void flush();

  SafetensorsHeader header_;
  std::string opening_;
  std::int64_t file_bytes_;
  File file_;
  std::string gathered_;
  std::int64_t offset_ = 0;  // where gathered_ goes
};

/// An open file whose header has passed every check. The bytes of the tensors are as trustworthy as the file.
class SafetensorsReader {
 public:
  /// Throws DataError on a malformed file; see parse_safetensors_header.
  SafetensorsReader(Io& io, const std::filesystem::path& path);

  const SafetensorsHeader& header() const { return header_; }
  /// Null if there is no such tensor.
  const SafetensorsEntry* find(std::string_view name) const;
  /// Copies `size` bytes from `offset` bytes into the tensor. Throws DataError if the file has become
  /// shorter.
  void read(const SafetensorsEntry& entry, std::int64_t offset, void* bytes, std::size_t size);

 private:
  File file_;
  SafetensorsHeader header_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

}  // namespace switchyard::data

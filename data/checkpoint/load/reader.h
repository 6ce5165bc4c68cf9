// Reading any element range of a checkpoint, whatever cut it was written in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/checkpoint/format/manifest.h"
#include "data/io/io.h"
#include "data/storage/digest.h"

namespace switchyard::data {

/// Every chunk is digested again as it is read into memory, and no byte of a chunk is handed out unless its
/// digest fits: a file that changes after find_newest is noticed. Holds at most kOpenParts files and as many
/// chunks (32 MiB). One thread at a time.
class CheckpointReader {
 public:
  static constexpr std::size_t kOpenParts = 8;

  /// Reads the manifest of `folder`; see read_manifest for what it throws.
  CheckpointReader(Io& io, std::filesystem::path folder);

  const Manifest& manifest() const { return manifest_; }
  std::int64_t step() const { return manifest_.step; }
  const State& state() const { return manifest_.state; }
  const std::vector<TensorRecord>& tensors() const { return manifest_.tensors; }
  /// Null if there is no such tensor.
  const TensorRecord* find(std::string_view name) const;

  /// Copies elements [begin, end) of the flattened global tensor to `out`. Throws CheckpointError if there is
  /// no such tensor or range, and, naming file, chunk, bytes, expected and found, if a chunk is damaged;
  /// `out` is then undefined.
  void read(std::string_view name, std::int64_t begin, std::int64_t end, void* out);

  /// One digest over every tensor (name, dtype, shape, bytes in global order; tensors by name) and the state
  /// entries listed as continuation. Two checkpoints of the same training state have the same one however
  /// they were cut into slices and parts. Streams; reads the whole checkpoint.
  Digest tensor_digest();

 private:
  struct OpenPart {
    int part;
    File file;
    std::int64_t chunk = -1;  // which one `bytes` holds
    std::vector<char> bytes;
  };
  OpenPart& open_part(int part);
  void read_bytes(int part, std::int64_t begin, std::int64_t end, char* out);
  void read_chunk(OpenPart& open, std::int64_t chunk, char* out);

  Io& io_;
  std::filesystem::path folder_;
  Manifest manifest_;
  std::map<std::string, std::size_t, std::less<>> index_;
  std::list<OpenPart> open_parts_;  // the most recently used first
};

}  // namespace switchyard::data

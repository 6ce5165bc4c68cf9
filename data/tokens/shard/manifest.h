// manifest.json of a prepared folder: which shards make which split, and the digests that make them
// believable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/tokens/shard/shard_reader.h"

namespace switchyard::data {

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kTrainSplit = "train";
inline constexpr const char* kValidationSplit = "validation";

/// The shards of one split, in the order in which they are concatenated.
struct SplitEntry {
  std::string name;
  std::vector<ShardEntry> shards;
  std::uint64_t tokens() const;
  std::uint64_t documents() const;
};

struct TokenManifest {
  std::string tokenizer_json;  // Tokenizer::to_json
  std::string tokenizer_name;
  Digest tokenizer_digest;
  std::uint64_t vocab_size = 0;
  std::uint64_t end_of_document = 0;
  std::vector<SplitEntry> splits;

  /// Throws DataError naming the splits there are.
  const SplitEntry& split(const std::string& name) const;
};

/// Writes manifest.json atomically; it begins with a digest of all its other bytes. Throws DiskError.
void write_token_manifest(const std::filesystem::path& folder, const TokenManifest& manifest);

/// Reads and verifies: the digest first, then every field, limit and sum. Throws DataError.
TokenManifest read_token_manifest(const std::filesystem::path& folder);

}  // namespace switchyard::data

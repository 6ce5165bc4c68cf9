// What `switchyard inspect` tells about one shard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/tokens/shard/shard_reader.h"

namespace switchyard::data {

struct BlockReport {
  std::uint64_t block = 0;
  ByteRange bytes;
  Digest expected;
  bool is_intact = false;
  std::string error;  // empty where intact
};

struct ShardReport {
  std::filesystem::path path;
  ShardEntry entry;
  ShardLayout layout;
  std::vector<BlockReport> blocks;  // one for each MiB of tokens
  std::uint64_t num_damaged_blocks = 0;
  std::string first_text;  // the first tokens decoded; empty where the first block is damaged
};

/// Opens the shard through the manifest.json beside it, verifies its metadata, then every block, and decodes
/// the first `text_tokens` tokens. A damaged token block is reported, everything else that is wrong is thrown
/// as DataError.
ShardReport inspect_shard(const std::filesystem::path& path, std::uint64_t text_tokens = 200);

}  // namespace switchyard::data

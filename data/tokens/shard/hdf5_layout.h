// The HDF5 side of a token shard. All HDF5 calls of the project are behind this header.
//
// One root group with exactly these contiguous, unfiltered, little-endian datasets:
//   tokens            u16 where vocab_size <= 65536, else u32; (num_tokens)
//   document_offsets  u64; (num_parts + 1): part i is tokens [offset i, offset i + 1)
//   block_digests     u64; (num_blocks, 2): XXH3-128 (high, low) of each MiB of token bytes
// and the attributes of ShardAttributes, fixed in length, on the root group. Nothing else is allowed in the
// file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/storage/digest.h"

namespace switchyard::data {

inline constexpr std::uint32_t kShardFormatVersion = 1;
inline constexpr std::uint64_t kBlockBytes = 1U << 20;
inline constexpr std::uint64_t kMaxVocabSize = 1U << 30;
inline constexpr std::uint64_t kMaxShardTokens = 1ULL << 40;
inline constexpr std::size_t kMaxNameBytes = 64;

/// Bytes of one token on disk.
constexpr std::uint32_t token_width(std::uint64_t vocab_size) {
  return vocab_size <= 65536 ? 2 : 4;
}

struct ShardAttributes {
  std::uint32_t format_version = kShardFormatVersion;
  std::uint64_t vocab_size = 0;
  std::string tokenizer_name;  // at most kMaxNameBytes bytes
  Digest tokenizer_digest;
  std::uint64_t end_of_document = 0;
  std::string split;  // at most kMaxNameBytes bytes
  /// Part 0 goes on with the last document of the previous shard of the split.
  bool continues_document = false;
  bool operator==(const ShardAttributes&) const = default;
};

/// Where the parts of a shard lie, in bytes from the start of the file.
struct ShardLayout {
  ShardAttributes attributes;
  std::uint64_t num_tokens = 0;
  std::uint64_t tokens_offset = 0;
  std::uint64_t num_parts = 0;
  std::uint64_t document_offsets_offset = 0;
  std::uint64_t num_blocks = 0;
  std::uint64_t block_digests_offset = 0;
};

/// What write_shard_file puts into a shard. The callbacks fill `out` with elements [first, first + count) as
/// they lie on disk, and are asked in order.
struct ShardContents {
  ShardAttributes attributes;
  std::uint64_t num_tokens = 0;
  std::uint64_t num_parts = 0;
  std::vector<Digest> block_digests;
  std::function<void(std::uint64_t first, std::size_t count, void* out)> read_tokens;
  std::function<void(std::uint64_t first, std::size_t count, void* out)> read_document_offsets;
};

/// Creates `path`, which must not exist, flushes and closes it; the caller syncs and renames. Equal contents
/// give equal bytes. Holds one block in memory. Throws DiskError where HDF5 cannot write.
void write_shard_file(const std::filesystem::path& path, const ShardContents& contents);

/// Checks the file against the allow-list above and returns its layout; reads no dataset. To be called only
/// once the bytes outside of the tokens have been verified: HDF5 itself does not survive hostile files.
/// Throws DataError naming what is not as it must be.
ShardLayout read_shard_layout(const std::filesystem::path& path);

}  // namespace switchyard::data

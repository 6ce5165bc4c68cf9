// Reads one token shard, mapped, and believes nothing in it that was not verified.
//
// Order of trust: the manifest carries a digest of itself; its entry carries the size of the shard, the
// digest of all bytes outside of the tokens and the digest over the block digests. Those are checked before
// HDF5 sees the file; each block of tokens is checked against its digest when it is first touched. Digests
// guard against damage, not against someone who recomputes them.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "data/storage/file.h"
#include "data/tokens/shard/hdf5_layout.h"

namespace switchyard::data {

/// What the manifest says about one shard.
struct ShardEntry {
  std::string file;         // name inside the prepared folder
  std::uint64_t bytes = 0;  // size of the file
  std::uint64_t tokens = 0;
  std::uint64_t documents = 0;      // documents that begin in this shard
  std::uint64_t tokens_offset = 0;  // where the token data begins in the file
  std::uint64_t tokens_bytes = 0;
  Digest tokens_digest;    // of the block digests, as they lie in the file
  Digest metadata_digest;  // of all bytes of the file outside of the token data
  bool operator==(const ShardEntry&) const = default;
};

/// The bytes of token data that block `block` of an entry covers, from the start of the file.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

class ShardReader {
 public:
  /// Opens `folder`/`entry.file` and verifies all but the tokens. Throws DataError naming file, byte range,
  /// expected and found values.
  ShardReader(const std::filesystem::path& folder, const ShardEntry& entry);

  const ShardLayout& layout() const { return layout_; }
  std::uint64_t num_tokens() const { return layout_.num_tokens; }
  /// Offset of document part `index` in tokens; index num_parts gives num_tokens.
  std::uint64_t document_offset(std::uint64_t index) const;
  Digest block_digest(std::uint64_t block) const;
  ByteRange block_range(std::uint64_t block) const;

  /// Writes tokens [begin, begin + count) to `out`, verifying the blocks they lie in once. Safe from several
  /// threads. Throws DataError for a damaged block or a token outside of the vocabulary, InternalError beyond
  /// the end.
  void tokens(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const;
  /// Throws DataError unless the block has its digest; remembers that it has.
  void verify_block(std::uint64_t block) const;
  /// Verifies every block and every token against the vocabulary.
  void verify_all() const;

 private:
  template <typename Stored>
  void copy_tokens(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const;
  void verify_metadata(const ShardEntry& entry) const;
  void verify_layout(const ShardEntry& entry) const;
  void verify_document_offsets() const;

  std::filesystem::path path_;
  MappedFile file_;
  ShardLayout layout_;
  std::uint32_t width_ = 0;
  // Two threads may verify the same block at once: both find the same answer.
  mutable std::unique_ptr<std::atomic<bool>[]> is_verified_;
};

/// The entry of a finished shard, from its bytes: how the manifest comes to know them.
ShardEntry describe_shard(const std::filesystem::path& path);

}  // namespace switchyard::data

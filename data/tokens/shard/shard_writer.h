// Writes the shards of one split: every shard but the last has exactly the same number of tokens, and a
// document that does not fit goes on in the next shard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/text/tokenizer.h"
#include "data/tokens/shard/manifest.h"

namespace switchyard::data {

class ShardWriter {
 public:
  /// Shards become `<split>-00000.h5`, ... in `folder`; attributes come from the tokenizer.
  /// `tokens_per_shard` in [1, kMaxShardTokens]. Memory is bounded by a few MiB whatever the sizes: tokens
  /// wait in a dot-named file.
  ShardWriter(std::filesystem::path folder, std::string split, const Tokenizer& tokenizer,
              std::uint64_t tokens_per_shard);
  ~ShardWriter();

  /// More tokens of the current document. Throws DiskError, InternalError for tokens outside of the
  /// vocabulary.
  void append(std::span<const std::int32_t> tokens);
  /// The next append begins a document.
  void end_document();
  /// Commits the last shard: temporary name, flush, close, fsync, rename, fsync of the folder; what was
  /// written is read back and verified. The list is empty if nothing was appended.
  SplitEntry finish();

 private:
  struct OpenShard;
  void open_shard();
  void close_shard();

  std::filesystem::path folder_;
  ShardAttributes attributes_;
  std::uint64_t tokens_per_shard_;
  bool in_document_ = false;
  std::unique_ptr<OpenShard> shard_;
  std::vector<ShardEntry> entries_;
};

}  // namespace switchyard::data

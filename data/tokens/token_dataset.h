// The tokens of one split of a prepared folder, as one long row.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/tokens/shard/manifest.h"

namespace switchyard::data {

class TokenDataset {
 public:
  /// Opens every shard of the split and verifies all but the tokens, which are verified as they are touched.
  /// With `expected_tokenizer`, shards of another tokenizer are refused. Throws DataError.
  TokenDataset(const std::filesystem::path& folder, const std::string& split,
               const std::optional<Digest>& expected_tokenizer = std::nullopt);

  const std::filesystem::path& folder() const { return folder_; }
  const std::string& split() const { return split_; }
  std::uint64_t num_tokens() const { return starts_.back(); }
  std::uint64_t num_documents() const { return num_documents_; }
  std::uint64_t vocab_size() const { return vocab_size_; }
  std::uint64_t end_of_document() const { return end_of_document_; }
  const std::string& tokenizer_json() const { return tokenizer_json_; }
  const Digest& tokenizer_digest() const { return tokenizer_digest_; }
  /// Of the tokenizer digest and each shard's token count and digest, in order: what a run records of its
  /// data.
  Digest digest() const { return digest_; }

  /// Tokens [begin, begin + count) of the concatenation. Safe from several threads. Throws DataError where a
  /// block is damaged, InternalError beyond the end.
  void tokens(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const;

  /// Windows of T + 1 tokens at stride T: window w covers tokens [w*T, w*T + T]. The tokens behind the last
  /// whole window are not used.
  std::uint64_t num_windows(std::int64_t sequence_length) const;
  /// Window `window`: inputs (T) are its first T tokens, targets (T) its last T.
  void window(std::uint64_t window, std::int64_t sequence_length, std::int32_t* inputs,
              std::int32_t* targets) const;

 private:
  std::filesystem::path folder_;
  std::string split_;
  std::string tokenizer_json_;
  Digest tokenizer_digest_;
  Digest digest_;
  std::uint64_t vocab_size_ = 0;
  std::uint64_t end_of_document_ = 0;
  std::uint64_t num_documents_ = 0;
  std::vector<std::unique_ptr<ShardReader>> shards_;
  std::vector<std::uint64_t> starts_;  // first token of each shard, then the total
};

}  // namespace switchyard::data

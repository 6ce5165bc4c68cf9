// Small prepared folders with known tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/tokens/shard/shard_writer.h"

namespace switchyard::data {

using Documents = std::vector<std::vector<std::int32_t>>;

/// A tokenizer of another vocabulary, for shards of u32 and for mix-ups.
class WideTokenizer final : public Tokenizer {
 public:
  explicit WideTokenizer(std::int64_t vocab_size) : vocab_size_(vocab_size) {}
  void encode(std::string_view, std::vector<std::int32_t>&) const override {}
  std::string decode(std::span<const std::int32_t>) const override { return {}; }
  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int32_t end_of_document() const override { return 0; }
  std::string name() const override { return "wide"; }
  std::string to_json() const override {
    return R"({"name":"wide","size":)" + std::to_string(vocab_size_) + "}";
  }

 private:
  std::int64_t vocab_size_;
};

/// Tokens that look random but are the same each time, below `vocab_size`.
inline std::vector<std::int32_t> some_tokens(std::size_t count, std::int64_t vocab_size = 257) {
  std::vector<std::int32_t> tokens(count);
  std::uint64_t state = 12345;
  for (std::int32_t& token : tokens) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    token = static_cast<std::int32_t>((state >> 33) % static_cast<std::uint64_t>(vocab_size));
  }
  return tokens;
}

inline TokenManifest manifest_for(const Tokenizer& tokenizer) {
  TokenManifest manifest;
  manifest.tokenizer_json = tokenizer.to_json();
  manifest.tokenizer_name = tokenizer.name();
  manifest.tokenizer_digest = tokenizer.digest();
  manifest.vocab_size = static_cast<std::uint64_t>(tokenizer.vocab_size());
  manifest.end_of_document = static_cast<std::uint64_t>(tokenizer.end_of_document());
  return manifest;
}

/// Writes the documents as split "train" and returns the manifest, which is written too.
inline TokenManifest write_prepared(const std::filesystem::path& folder, const Documents& documents,
                                    std::uint64_t tokens_per_shard,
                                    const Tokenizer& tokenizer = ByteTokenizer()) {
  std::filesystem::create_directories(folder);
  ShardWriter writer(folder, kTrainSplit, tokenizer, tokens_per_shard);
  for (const auto& document : documents) {
    writer.append(document);
    writer.end_document();
  }
  TokenManifest manifest = manifest_for(tokenizer);
  manifest.splits.push_back(writer.finish());
  write_token_manifest(folder, manifest);
  return manifest;
}

}  // namespace switchyard::data

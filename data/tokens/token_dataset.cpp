#include "data/tokens/token_dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/runtime/check.h"

namespace switchyard::data {

namespace {

void check_attributes(const ShardAttributes& found, const TokenManifest& manifest, const std::string& split,
                      const std::string& file) {
  if (found.tokenizer_digest != manifest.tokenizer_digest ||
      found.tokenizer_name != manifest.tokenizer_name || found.vocab_size != manifest.vocab_size ||
      found.end_of_document != manifest.end_of_document)
    throw DataError(
        fmt::format("data: every shard must be of the manifest's tokenizer '{}' {} (vocabulary {}); got '{}' "
                    "{} (vocabulary {}) ({}): "
                    "prepare the text again with one tokenizer",
                    manifest.tokenizer_name, manifest.tokenizer_digest.text(), manifest.vocab_size,
                    found.tokenizer_name, found.tokenizer_digest.text(), found.vocab_size, file));
  if (found.split != split)
    throw DataError(
        fmt::format("data: a shard of split '{}' must say so; got '{}' ({}): run `switchyard prepare` again",
                    split, found.split, file));
}

}  // namespace

TokenDataset::TokenDataset(const std::filesystem::path& folder, const std::string& split,
                           const std::optional<Digest>& expected_tokenizer)
    : folder_(folder), split_(split) {
  const TokenManifest manifest = read_token_manifest(folder);
  if (expected_tokenizer && *expected_tokenizer != manifest.tokenizer_digest)
    throw DataError(fmt::format(
        "data: the shards must be of the model's tokenizer {}; got '{}' {} ({}): prepare the text "
        "again with that tokenizer",
        expected_tokenizer->text(), manifest.tokenizer_name, manifest.tokenizer_digest.text(),
        folder.string()));
  const SplitEntry& entry = manifest.split(split);
  tokenizer_json_ = manifest.tokenizer_json;
  tokenizer_digest_ = manifest.tokenizer_digest;
  vocab_size_ = manifest.vocab_size;
  end_of_document_ = manifest.end_of_document;
  num_documents_ = entry.documents();

  DigestStream digest;
  const auto add = [&](const auto& value) { digest.update(&value, sizeof(value)); };
  add(tokenizer_digest_);
  starts_.push_back(0);
  for (const ShardEntry& shard : entry.shards) {
    shards_.push_back(std::make_unique<ShardReader>(folder, shard));
    check_attributes(shards_.back()->layout().attributes, manifest, split, (folder / shard.file).string());
    starts_.push_back(starts_.back() + shard.tokens);
    add(shard.tokens);
    add(shard.tokens_digest);
  }
  digest_ = digest.finish();
}

void TokenDataset::tokens(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const {
  SWITCHYARD_CHECK(begin <= num_tokens() && count <= num_tokens() - begin, "tokens [{}, {} + {}) of {}",
                   begin, begin, count, num_tokens());
  auto shard =
      static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), begin) - starts_.begin() - 1);
  while (count > 0) {
    const std::uint64_t here = std::min(count, starts_[shard + 1] - begin);
    shards_[shard]->tokens(begin - starts_[shard], here, out);
    begin += here;
    count -= here;
    out += here;
    ++shard;
  }
}

std::uint64_t TokenDataset::num_windows(std::int64_t sequence_length) const {
  SWITCHYARD_CHECK(sequence_length > 0, "sequence_length {}", sequence_length);
  return (num_tokens() - 1) / static_cast<std::uint64_t>(sequence_length);
}

void TokenDataset::window(std::uint64_t window, std::int64_t sequence_length, std::int32_t* inputs,
                          std::int32_t* targets) const {
  SWITCHYARD_CHECK(window < num_windows(sequence_length), "window {} of {}", window,
                   num_windows(sequence_length));
  const auto length = static_cast<std::uint64_t>(sequence_length);
  tokens(window * length, length, inputs);
  if (length > 1) std::memcpy(targets, inputs + 1, (length - 1) * sizeof(std::int32_t));
  tokens(window * length + length, 1, targets + length - 1);
}

}  // namespace switchyard::data

#include "data/tokens/shard/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "data/storage/file.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

using Json = nlohmann::json;

constexpr const char* kFormat = "switchyard tokens";
constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kMaxManifestBytes = 256U << 20;
constexpr std::uint64_t kMaxFileBytes = 1ULL << 48;
/// The file begins with this, 32 hexadecimal digits and a quote. The digest is taken with zeros in their
/// place.
constexpr std::string_view kHead = "{\n  \"digest\": \"";
constexpr std::size_t kDigestDigits = 32;

Json shard_json(const ShardEntry& entry) {
  return {{"file", entry.file},
          {"bytes", entry.bytes},
          {"tokens", entry.tokens},
          {"documents", entry.documents},
          {"tokens_offset", entry.tokens_offset},
          {"tokens_bytes", entry.tokens_bytes},
          {"tokens_digest", entry.tokens_digest.text()},
          {"metadata_digest", entry.metadata_digest.text()}};
}

/// Walks a manifest, refusing everything it does not know.
class ManifestParser {
 public:
  explicit ManifestParser(std::filesystem::path path) : path_(std::move(path)) {}

  TokenManifest parse();

 private:
  [[noreturn]] void refuse(const std::string& rule) const {
    throw DataError(
        fmt::format("data: manifest: {} ({}): run `switchyard prepare` again", rule, path_.string()));
  }
  void verify_digest(std::string& text) const;
  const Json& member(const Json& object, const char* key) const;
  void keys_are(const Json& object, const std::set<std::string>& keys, const char* what) const;
  std::uint64_t number(const Json& object, const char* key, std::uint64_t lowest,
                       std::uint64_t highest) const;
  std::string text(const Json& object, const char* key, std::size_t limit) const;
  ShardEntry shard(const Json& object, std::uint32_t width);
  SplitEntry split(const std::string& name, const Json& shards, std::uint32_t width);

  std::filesystem::path path_;
  std::set<std::string> files_;
};

void ManifestParser::verify_digest(std::string& text) const {
  if (text.empty()) refuse("the file must not be empty");
  if (!text.starts_with(kHead) || text.size() < kHead.size() + kDigestDigits + 1 ||
      text[kHead.size() + kDigestDigits] != '"')
    refuse("the file must begin with its digest");
  const std::string written = text.substr(kHead.size(), kDigestDigits);
  text.replace(kHead.size(), kDigestDigits, kDigestDigits, '0');
  const std::string found = digest_of(text.data(), text.size()).text();
  if (written != found)
    refuse(fmt::format("its bytes must have digest {}; got {}: it was edited or damaged", written, found));
}

const Json& ManifestParser::member(const Json& object, const char* key) const {
  const auto found = object.find(key);
  if (found == object.end()) refuse(fmt::format("'{}' must be given", key));
  return *found;
}

void ManifestParser::keys_are(const Json& object, const std::set<std::string>& keys, const char* what) const {
  if (!object.is_object()) refuse(fmt::format("{} must be an object", what));
  for (const auto& [key, value] : object.items())
    if (!keys.contains(key))
      refuse(fmt::format("{} must not have key '{}': it was written by a newer version", what, key));
}

std::uint64_t ManifestParser::number(const Json& object, const char* key, std::uint64_t lowest,
                                     std::uint64_t highest) const {
  const Json& value = member(object, key);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() < lowest ||
      value.get<std::uint64_t>() > highest)
    refuse(
        fmt::format("'{}' must be a whole number from {} to {}; got {}", key, lowest, highest, value.dump()));
  return value.get<std::uint64_t>();
}

std::string ManifestParser::text(const Json& object, const char* key, std::size_t limit) const {
  const Json& value = member(object, key);
  if (!value.is_string() || value.get_ref<const std::string&>().empty() ||
      value.get_ref<const std::string&>().size() > limit)
    refuse(fmt::format("'{}' must be text of 1 to {} bytes", key, limit));
  return value.get<std::string>();
}

ShardEntry ManifestParser::shard(const Json& object, std::uint32_t width) {
  keys_are(object,
           {"file", "bytes", "tokens", "documents", "tokens_offset", "tokens_bytes", "tokens_digest",
            "metadata_digest"},
           "a shard");
  ShardEntry entry;
  entry.file = text(object, "file", 255);
  // A plain name: a manifest must not lead out of its folder.
  const bool is_plain = entry.file[0] != '.' && std::all_of(entry.file.begin(), entry.file.end(), [](char c) {
                          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                 c == '-' || c == '_' || c == '.';
                        });
  if (!is_plain) refuse(fmt::format("'file' must be a plain file name; got '{}'", entry.file));
  if (!files_.insert(entry.file).second) refuse(fmt::format("shard '{}' must be named once", entry.file));
  entry.bytes = number(object, "bytes", 1, kMaxFileBytes);
  entry.tokens = number(object, "tokens", 1, kMaxShardTokens);
  entry.documents = number(object, "documents", 0, entry.tokens);
  entry.tokens_bytes = number(object, "tokens_bytes", entry.tokens * width, entry.tokens * width);
  entry.tokens_offset = number(object, "tokens_offset", 0, entry.bytes);
  if (entry.tokens_bytes > entry.bytes - entry.tokens_offset)
    refuse(fmt::format("the tokens of '{}' must lie inside its {} bytes", entry.file, entry.bytes));
  entry.tokens_digest = Digest::parse(text(object, "tokens_digest", kDigestDigits));
  entry.metadata_digest = Digest::parse(text(object, "metadata_digest", kDigestDigits));
  return entry;
}

SplitEntry ManifestParser::split(const std::string& name, const Json& shards, std::uint32_t width) {
  if (name.empty() || name.size() > kMaxNameBytes) refuse("the name of a split must have 1 to 64 bytes");
  if (!shards.is_array() || shards.empty()) refuse(fmt::format("split '{}' must be a list of shards", name));
  SplitEntry entry{name, {}};
  entry.shards.reserve(shards.size());
  for (const Json& object : shards) entry.shards.push_back(shard(object, width));
  if (entry.tokens() > kMaxShardTokens * 1024)
    refuse(fmt::format("split '{}' must have at most 2^50 tokens", name));
  return entry;
}

TokenManifest ManifestParser::parse() {
  std::string contents = read_whole_file(path_, kMaxManifestBytes);
  verify_digest(contents);
  const Json document = Json::parse(contents, nullptr, /*allow_exceptions=*/false);
  keys_are(document, {"digest", "format", "version", "tokenizer", "vocab_size", "end_of_document", "splits"},
           "the file");
  if (text(document, "format", 64) != kFormat) refuse(fmt::format("'format' must be '{}'", kFormat));
  number(document, "version", kVersion, kVersion);

  TokenManifest manifest;
  const Json& tokenizer = member(document, "tokenizer");
  manifest.tokenizer_json = tokenizer.dump();
  manifest.tokenizer_name = text(tokenizer, "name", kMaxNameBytes);
  manifest.tokenizer_digest = digest_of(manifest.tokenizer_json.data(), manifest.tokenizer_json.size());
  manifest.vocab_size = number(document, "vocab_size", 1, kMaxVocabSize);
  manifest.end_of_document = number(document, "end_of_document", 0, manifest.vocab_size - 1);
  const Json& splits = member(document, "splits");
  if (!splits.is_object() || splits.empty()) refuse("'splits' must be an object that names a split");
  for (const auto& [name, shards] : splits.items())
    manifest.splits.push_back(split(name, shards, token_width(manifest.vocab_size)));
  return manifest;
}

}  // namespace

std::uint64_t SplitEntry::tokens() const {
  return std::accumulate(shards.begin(), shards.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const ShardEntry& shard) { return sum + shard.tokens; });
}

std::uint64_t SplitEntry::documents() const {
  return std::accumulate(shards.begin(), shards.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const ShardEntry& shard) { return sum + shard.documents; });
}

const SplitEntry& TokenManifest::split(const std::string& name) const {
  std::string known;
  for (const SplitEntry& entry : splits) {
    if (entry.name == name) return entry;
    known += (known.empty() ? "" : ", ") + entry.name;
  }
  throw DataError(
      fmt::format("data: the split must be one of: {}; got '{}': run `switchyard prepare` with a held-out "
                  "fraction to get a validation split",
                  known, name));
}

void write_token_manifest(const std::filesystem::path& folder, const TokenManifest& manifest) {
  Json splits = Json::object();
  for (const SplitEntry& split : manifest.splits) {
    Json shards = Json::array();
    for (const ShardEntry& entry : split.shards) shards.push_back(shard_json(entry));
    splits[split.name] = std::move(shards);
  }
  const Json body{{"format", kFormat},
                  {"version", kVersion},
                  {"tokenizer", Json::parse(manifest.tokenizer_json)},
                  {"vocab_size", manifest.vocab_size},
                  {"end_of_document", manifest.end_of_document},
                  {"splits", std::move(splits)}};
  const std::string zeros(kDigestDigits, '0');
  std::string text = fmt::format("{}{}\",{}\n", kHead, zeros, body.dump(2).substr(1));
  text.replace(kHead.size(), kDigestDigits, digest_of(text.data(), text.size()).text());
  write_file_atomically(folder / kManifestFile, text);
}

TokenManifest read_token_manifest(const std::filesystem::path& folder) {
  if (!std::filesystem::is_directory(folder))
    throw DataError(fmt::format(
        "data: a prepared folder must exist; got '{}': run `switchyard prepare TEXT... --output {}`",
        folder.string(), folder.string()));
  return ManifestParser(folder / kManifestFile).parse();
}

}  // namespace switchyard::data

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/safetensors/strict_json.h"
#include "data/storage/file.h"
#include "data/text/bpe/bpe_tokenizer.h"
#include "data/text/tokenizer.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace fs = std::filesystem;

namespace {

constexpr const char* kTokenizerFile = "tokenizer.json";
constexpr std::uint64_t kMaxConfigBytes = 16U << 20;
constexpr int kMaxConfigDepth = 32;

/// The eos_token of a file beside tokenizer.json: a string, or an object with it under `content`.
std::optional<std::string> eos_token(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  const nlohmann::json document =
      parse_strict_json(read_whole_file(path, kMaxConfigBytes), kMaxConfigDepth, path.string());
  if (!document.is_object() || !document.contains("eos_token")) return std::nullopt;
  const nlohmann::json& token = document["eos_token"];
  if (token.is_null()) return std::nullopt;
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string())
    return token["content"].get<std::string>();
  throw DataError(
      fmt::format("{}: eos_token must be a string or an object with a string 'content'", path.string()));
}

/// Contents of the special tokens; the file itself is judged by BpeTokenizer.
std::vector<std::string> special_tokens(const std::string& json, const std::string& place) {
  std::vector<std::string> contents;
  const nlohmann::json document = parse_strict_json(json, kMaxTokenizerJsonDepth, place);
  if (!document.is_object() || !document.contains("added_tokens") || !document["added_tokens"].is_array())
    return contents;
  for (const nlohmann::json& token : document["added_tokens"]) {
    if (!token.is_object() || !token.value("special", nlohmann::json(false)).is_boolean()) continue;
    const bool is_special = token.contains("special") && token["special"].get<bool>();
    if (is_special && token.contains("content") && token["content"].is_string())
      contents.push_back(token["content"].get<std::string>());
  }
  return contents;
}

std::string choose_end_of_document(const fs::path& file, const std::string& json) {
  for (const char* beside : {"tokenizer_config.json", "special_tokens_map.json"})
    if (auto token = eos_token(file.parent_path() / beside)) return *token;
  const std::vector<std::string> specials = special_tokens(json, file.string());
  if (specials.size() == 1) return specials[0];
  throw UserError(
      fmt::format("tokenizer: the token that ends a document must be known; got {} special tokens ({}) "
                  "and no eos_token in tokenizer_config.json or special_tokens_map.json beside {}: name "
                  "it with --end-of-document",
                  specials.size(), fmt::join(specials, " "), file.string()));
}

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name_or_path,
                                          const std::string& end_of_document) {
  if (name_or_path == "bytes") {
    if (!end_of_document.empty())
      throw UserError(fmt::format(
          "tokenizer: 'bytes' ends documents by a token of its own; got '{}': leave out --end-of-document",
          end_of_document));
    return std::make_unique<ByteTokenizer>();
  }
  fs::path file = name_or_path;
  if (fs::is_directory(file)) file /= kTokenizerFile;
  if (!fs::exists(file))
    throw UserError(fmt::format(
        "tokenizer: must be 'bytes', a tokenizer.json or a folder that holds one; got '{}'", name_or_path));
  const std::string json = read_whole_file(file, kMaxTokenizerJsonBytes);
  const std::string end = end_of_document.empty() ? choose_end_of_document(file, json) : end_of_document;
  return BpeTokenizer::read(json, end, file.string());
}

}  // namespace switchyard::data

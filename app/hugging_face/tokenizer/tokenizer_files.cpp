#include "app/hugging_face/tokenizer/tokenizer_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "data/safetensors/strict_json.h"
#include "kernels/runtime/check.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kEndOfDocument = "<|endoftext|>";
constexpr std::int64_t kMostTokenizerBytes = std::int64_t{256} << 20;

std::string utf8(std::uint32_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

/// The letter that byte-level tokenizers write for a byte: printable Latin-1 stands for itself, the others
/// follow from U+0100 on (Radford et al., 2019).
std::string letter_of(int byte, std::uint32_t& next) {
  const bool is_printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  return utf8(is_printable ? static_cast<std::uint32_t>(byte) : next++);
}

ordered_json byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
}

std::string byte_tokenizer_json(std::int32_t end_of_document) {
  ordered_json vocabulary;
  std::uint32_t next = 256;
  for (int byte = 0; byte < 256; ++byte) vocabulary[letter_of(byte, next)] = byte;
  vocabulary[std::string(kEndOfDocument)] = end_of_document;
  const ordered_json end = {{"id", end_of_document}, {"content", kEndOfDocument}, {"single_word", false},
                            {"lstrip", false},       {"rstrip", false},           {"normalized", false},
                            {"special", true}};
  ordered_json document;
  document["version"] = "1.0";
  document["truncation"] = nullptr;
  document["padding"] = nullptr;
  document["added_tokens"] = ordered_json::array({end});
  document["normalizer"] = nullptr;
  document["pre_tokenizer"] = byte_level();
  document["post_processor"] = nullptr;
  document["decoder"] = byte_level();
  document["model"] = {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", false},
                       {"vocab", vocabulary},
                       {"merges", ordered_json::array()}};
  return document.dump(2) + "\n";
}

/// How a tokenizer.json spells the token of an id; empty if nothing has it.
std::string spelling_of(const json& document, std::int32_t id) {
  if (const auto added = document.find("added_tokens"); added != document.end())
    for (const json& token : *added)
      if (token.at("id") == id) return token.at("content").get<std::string>();
  for (const auto& item : document.at("model").at("vocab").items())
    if (item.value() == id) return item.key();
  return {};
}

}  // namespace

std::map<std::string, std::string> tokenizer_files(const data::Tokenizer& tokenizer,
                                                   std::int64_t max_tokens) {
  std::map<std::string, std::string> files;
  std::string end(kEndOfDocument);
  if (tokenizer.name() == "bytes") {
    files["tokenizer.json"] = byte_tokenizer_json(tokenizer.end_of_document());
  } else {
    const json description = json::parse(tokenizer.to_json());
    SWITCHYARD_CHECK(description.contains("tokenizer_json"), "tokenizer '{}' has no tokenizer.json",
                     tokenizer.name());
    const json document = json::parse(description.at("tokenizer_json").get<std::string>());
    end = spelling_of(document, tokenizer.end_of_document());
    files["tokenizer.json"] = document.dump(2) + "\n";
  }
  // Documents begin with the token that ends the one before.
  const ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                               {"model_max_length", max_tokens},
                               {"bos_token", end},
                               {"eos_token", end},
                               {"pad_token", end},
                               {"clean_up_tokenization_spaces", false}};
  files["tokenizer_config.json"] = config.dump(2) + "\n";
  return files;
}

FolderTokenizer read_tokenizer(ModelFolder& folder) {
  const data::ByteTokenizer bytes;
  const std::string text = folder.text_of("tokenizer.json", kMostTokenizerBytes);
  if (text.empty()) return {"", bytes.to_json(), 0};
  if (text == byte_tokenizer_json(bytes.end_of_document()))
    return {bytes.name(), bytes.to_json(), bytes.vocab_size()};
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"})
    folder.text_of(name, kMostTokenizerBytes);  // refuses links
  try {
    const auto tokenizer = data::make_tokenizer(folder.path().string());
    return {tokenizer->name(), tokenizer->to_json(), tokenizer->vocab_size()};
  } catch (const UserError& error) {
    throw DataError(error.what());
  }
}

}  // namespace switchyard::app

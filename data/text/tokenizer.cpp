#include "data/text/tokenizer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "data/text/bpe/bpe_tokenizer.h"
#include "data/text/utf8.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

Digest Tokenizer::digest() const {
  const std::string json = to_json();
  return digest_of(json.data(), json.size());
}

std::size_t Tokenizer::last_cut(std::string_view) const {
  return 0;
}

std::size_t ByteTokenizer::last_cut(std::string_view bytes) const {
  const std::size_t line_end = bytes.rfind('\n');
  const bool has_line_end = line_end != std::string_view::npos && line_end >= bytes.size() / 2;
  return has_line_end ? line_end + 1 : whole_characters(bytes);
}

void ByteTokenizer::encode(std::string_view bytes, std::vector<std::int32_t>& tokens) const {
  const auto* first = reinterpret_cast<const unsigned char*>(bytes.data());
  tokens.insert(tokens.end(), first, first + bytes.size());
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> tokens) const {
  std::string bytes;
  bytes.reserve(tokens.size());
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= vocab_size())
      throw DataError(fmt::format("data: a token of tokenizer 'bytes' must lie in [0, 257); got {}", token));
    if (token != end_of_document()) bytes.push_back(static_cast<char>(token));
  }
  return bytes;
}

std::string ByteTokenizer::to_json() const {
  return nlohmann::json{
      {"name", name()}, {"vocab_size", vocab_size()}, {"end_of_document", end_of_document()}}
      .dump();
}

std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json) {
  const auto document = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.contains("name") || !document["name"].is_string())
    throw DataError("data: a tokenizer must be a JSON object with a string 'name'");
  const auto& name = document["name"].get_ref<const std::string&>();
  if (name == "bpe") return BpeTokenizer::from_description(document);
  if (name != "bytes")
    throw DataError(fmt::format(
        "data: the tokenizer must be one of: bytes, bpe; got '{}': it was written by a newer version", name));
  auto tokenizer = std::make_unique<ByteTokenizer>();
  if (document.dump() != tokenizer->to_json())
    throw DataError(fmt::format("data: tokenizer 'bytes' must be described as {}; got {}",
                                tokenizer->to_json(), document.dump()));
  return tokenizer;
}

}  // namespace switchyard::data

// Foreign bytes as a tokenizer.json, alone and spliced into one that is good, so that the fuzzer gets behind
// the vocabulary. What is accepted has to encode, decode, say where to cut and describe itself; anything but
// a DataError is a finding.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "data/text/bpe/bpe_tokenizer.h"
#include "data/text/bpe/byte_letters.h"
#include "data/text/bpe/tokenizer_json.h"
#include "kernels/runtime/error.h"

namespace {

using namespace switchyard;
using namespace switchyard::data;

constexpr const char* kEnd = "a";

/// A byte vocabulary with room for the fuzzer's own parts.
nlohmann::json plain_document() {
  nlohmann::json vocab = nlohmann::json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab[spelling_of_bytes(std::string(1, static_cast<char>(byte)))] = byte;
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  return {{"version", "1.0"},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {{"a", "b"}, {"ab", "c"}}}}}};
}

void use(const std::string& json, std::string_view text) {
  try {
    const auto tokenizer = BpeTokenizer::read(json, kEnd, "fuzz");
    std::vector<std::int32_t> tokens;
    tokenizer->encode(text, tokens);
    tokenizer->decode(tokens);
    if (tokenizer->last_cut(text) > text.size()) std::abort();
    if (tokenizer_from_json(tokenizer->to_json())->digest() != tokenizer->digest()) std::abort();
  } catch (const DataError&) {
  }
}

/// Puts the fuzzer's value in one place of the plain document. `whole`: what is accepted is used as well,
/// which takes ten times as long.
void use_spliced(std::uint8_t place, bool whole, const std::string& value, std::string_view text) {
  static const nlohmann::json plain = plain_document();
  nlohmann::json document = plain;
  const nlohmann::json parsed = nlohmann::json::parse(value, nullptr, /*allow_exceptions=*/false);
  const nlohmann::json part = parsed.is_discarded() ? nlohmann::json(nullptr) : parsed;
  switch (place % 6) {
    case 0:
      document["added_tokens"] = part;
      break;
    case 1:
      document["normalizer"] = part;
      break;
    case 2:
      document["pre_tokenizer"] = part;
      break;
    case 3:
      document["model"]["merges"] = part;
      break;
    case 4:
      if (part.is_object()) document["model"].update(part);
      break;
    default: {
      const bool is_text = value.find_first_of("\x80\xff") == std::string::npos;
      nlohmann::json split = {{"type", "Split"},
                              {"pattern", {{"Regex", is_text ? value : "a"}}},
                              {"behavior", "Isolated"},
                              {"invert", false}};
      document["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, plain["pre_tokenizer"]}}};
    }
  }
  try {
    read_bpe_parts(document, "fuzz");
  } catch (const DataError&) {
    return;
  }
  if (!whole) return;
  std::string json;
  try {
    json = document.dump();
  } catch (const nlohmann::json::exception&) {
    return;  // bytes that no JSON text can hold
  }
  use(json, text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size < 2) return 0;
  const std::string value(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  const std::string_view text = std::string_view(value).substr(value.size() / 2);
  if (bytes[0] >= 0xf0) {
    use(value, text);
  } else {
    use_spliced(bytes[0], bytes[0] / 6 % 4 == 0, value, text);
  }
  return 0;
}

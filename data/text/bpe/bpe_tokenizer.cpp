#include "data/text/bpe/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "data/safetensors/strict_json.h"
#include "data/text/bpe/byte_letters.h"
#include "data/text/bpe/json_reader.h"
#include "data/text/bpe/unicode/nfc.h"
#include "data/text/utf8.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

constexpr const char* kPlace = "data: tokenizer";

std::vector<AddedToken> added_of(const BpeParts& parts, bool normalized) {
  std::vector<AddedToken> chosen;
  std::copy_if(parts.added.begin(), parts.added.end(), std::back_inserter(chosen),
               [&](const AddedToken& token) { return token.normalized == normalized; });
  return chosen;
}

std::int32_t id_of(const BpeParts& parts, std::string_view spelling, const std::string& place) {
  const auto found = std::find(parts.spellings.begin(), parts.spellings.end(), spelling);
  if (spelling.empty() || found == parts.spellings.end())
    throw DataError(
        fmt::format("{}: the token that ends a document must be one of its tokens; got '{}': name "
                    "another with --end-of-document",
                    place, spelling));
  return static_cast<std::int32_t>(found - parts.spellings.begin());
}

nlohmann::json parsed(std::string_view json, const std::string& place) {
  if (json.size() > kMaxTokenizerJsonBytes)
    throw DataError(
        fmt::format("{}: must have at most {} bytes; got {}", place, kMaxTokenizerJsonBytes, json.size()));
  return parse_strict_json(json, kMaxTokenizerJsonDepth, place);
}

struct Character {
  char32_t code_point = 0;
  std::size_t begin = 0;
};

/// The well-formed character that ends at `end`; none if the bytes there are ill-formed.
std::optional<Character> character_before(std::string_view bytes, std::size_t end) {
  for (std::size_t length = 1; length <= std::min<std::size_t>(4, end); ++length) {
    const std::size_t begin = end - length;
    if ((static_cast<unsigned char>(bytes[begin]) & 0xc0U) == 0x80U) continue;
    const std::string_view sequence = bytes.substr(begin, length);
    if (find_invalid_utf8(sequence)) return std::nullopt;
    std::size_t at = 0;
    const char32_t code_point = next_code_point(sequence, at);
    if (at != length) return std::nullopt;  // bytes of nobody follow it
    return Character{code_point, begin};
  }
  return std::nullopt;
}

}  // namespace

struct BpeTokenizer::Scratch {
  PreTokenizer::Scratch pre_tokenizer;
  Merges::Scratch merges;
};

/// Working memory for one call, given back at its end.
class BpeTokenizer::ScratchLease {
 public:
  explicit ScratchLease(const BpeTokenizer& owner) : owner_(owner) {
    {
      const std::lock_guard lock(owner_.mutex_);
      if (!owner_.idle_.empty()) {
        scratch_ = std::move(owner_.idle_.back());
        owner_.idle_.pop_back();
      }
    }
    if (!scratch_) scratch_ = std::make_unique<Scratch>();
  }
  ~ScratchLease() {
    const std::lock_guard lock(owner_.mutex_);
    owner_.idle_.push_back(std::move(scratch_));
  }
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;
  Scratch& operator*() { return *scratch_; }

 private:
  const BpeTokenizer& owner_;
  std::unique_ptr<Scratch> scratch_;
};

BpeTokenizer::BpeTokenizer(std::string source, BpeParts parts, std::int32_t end_of_document)
    : source_(std::move(source)),
      bytes_(std::move(parts.spellings)),
      merges_(parts.byte_tokens, parts.merges),
      ignore_merges_(parts.ignore_merges),
      use_nfc_(parts.use_nfc),
      raw_added_(added_of(parts, false)),
      normalized_added_(added_of(parts, true)),
      pre_tokenizer_(std::move(parts.stages), parts.add_prefix_space, parts.prefixed_stage),
      end_of_document_(end_of_document) {
  // A spelling with a character that spells no byte stands for itself.
  for (std::string& spelling : bytes_)
    if (auto bytes = bytes_of_spelling(spelling)) spelling = std::move(*bytes);
  for (auto& [piece, id] : parts.whole_pieces) whole_pieces_.emplace(std::move(piece), id);
}

BpeTokenizer::~BpeTokenizer() = default;

std::unique_ptr<BpeTokenizer> BpeTokenizer::read(std::string_view json, std::string_view end_of_document,
                                                 const std::string& place) {
  const nlohmann::json document = parsed(json, place);
  BpeParts parts = read_bpe_parts(document, place);
  const std::int32_t end = id_of(parts, end_of_document, place);
  return std::unique_ptr<BpeTokenizer>(new BpeTokenizer(document.dump(), std::move(parts), end));
}

std::unique_ptr<BpeTokenizer> BpeTokenizer::from_description(const nlohmann::json& description) {
  const JsonPlace root(description, kPlace);
  root.require_keys({"name", "vocab_size", "end_of_document", "tokenizer_json"});
  const std::string place = fmt::format("{}.tokenizer_json", kPlace);
  const nlohmann::json document = parsed(root.at("tokenizer_json").text(), place);
  BpeParts parts = read_bpe_parts(document, place);
  const auto size = static_cast<std::int64_t>(parts.spellings.size());
  const auto end = static_cast<std::int32_t>(root.at("end_of_document").integer_below(size));
  std::unique_ptr<BpeTokenizer> tokenizer(new BpeTokenizer(document.dump(), std::move(parts), end));
  if (tokenizer->to_json() != description.dump())
    throw DataError(
        fmt::format("{}: must be described as this program describes it; got other keys, values or "
                    "spellings: prepare the text again",
                    kPlace));
  return tokenizer;
}

std::string BpeTokenizer::to_json() const {
  return nlohmann::json{{"name", name()},
                        {"vocab_size", vocab_size()},
                        {"end_of_document", end_of_document()},
                        {"tokenizer_json", source_}}
      .dump();
}

void BpeTokenizer::encode(std::string_view bytes, std::vector<std::int32_t>& tokens) const {
  ScratchLease scratch(*this);
  std::string repaired;
  if (find_invalid_utf8(bytes)) {
    std::uint64_t replaced = 0;
    repaired = replace_invalid_utf8(bytes, replaced);
    bytes = repaired;
  }
  raw_added_.split(
      bytes, [&](std::string_view part) { encode_part(part, *scratch, tokens); },
      [&](std::int32_t id) { tokens.push_back(id); });
}

void BpeTokenizer::encode_part(std::string_view text, Scratch& scratch,
                               std::vector<std::int32_t>& tokens) const {
  std::string normalized;
  if (use_nfc_) {
    normalized = normalize_nfc(text);
    text = normalized;
  }
  normalized_added_.split(
      text, [&](std::string_view part) { encode_pieces(part, scratch, tokens); },
      [&](std::int32_t id) { tokens.push_back(id); });
}

void BpeTokenizer::encode_pieces(std::string_view text, Scratch& scratch,
                                 std::vector<std::int32_t>& tokens) const {
  pre_tokenizer_.split(text, scratch.pre_tokenizer, [&](std::string_view piece) {
    if (ignore_merges_) {
      const auto whole = whole_pieces_.find(piece);
      if (whole != whole_pieces_.end()) {
        tokens.push_back(whole->second);
        return;
      }
    }
    merges_.encode(piece, scratch.merges, tokens);
  });
}

std::string BpeTokenizer::decode(std::span<const std::int32_t> tokens) const {
  std::string text;
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= vocab_size())
      throw DataError(
          fmt::format("data: a token of tokenizer 'bpe' must lie in [0, {}); got {}", vocab_size(), token));
    if (token != end_of_document_) text += bytes_[static_cast<std::size_t>(token)];
  }
  return text;
}

std::size_t BpeTokenizer::last_cut(std::string_view bytes) const {
  // From the back: the character before a cut and the one after it, both well-formed and what NFC leaves.
  auto after = std::optional<Character>();
  for (std::size_t end = whole_characters(bytes); end > 0;) {
    const auto before = character_before(bytes, end);
    const bool is_settled =
        before && after && after->begin == end &&
        (!use_nfc_ || (is_nfc_end(before->code_point) && is_nfc_inert(after->code_point)));
    if (is_settled) {
      const auto last_byte = static_cast<unsigned char>(bytes[end - 1]);
      const auto first_byte = static_cast<unsigned char>(bytes[end]);
      const char32_t left = before->code_point, right = after->code_point;
      if (pre_tokenizer_.may_cut(left, right) && raw_added_.may_cut(last_byte, first_byte, left, right) &&
          normalized_added_.may_cut(last_byte, first_byte, left, right))
        return end;
    }
    after = before;
    end = before ? before->begin : end - 1;
  }
  return 0;
}

}  // namespace switchyard::data

// The tokenizer that a tokenizer.json describes: byte-level byte-pair encoding with the ids and the text of
// the `tokenizers` package.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/text/bpe/tokenizer_json.h"
#include "data/text/tokenizer.h"

namespace switchyard::data {

/// encode() gives the ids of encode(text, add_special_tokens=False), with ill-formed UTF-8 first replaced by
/// U+FFFD as Python's errors="replace" does; nothing is put before or behind a text. Added tokens, special
/// ones too, are found inside the text. decode() gives the bytes of decode(ids, skip_special_tokens=False)
/// before ill-formed ones are replaced; end_of_document() and ids without a token stand for none.
class BpeTokenizer final : public Tokenizer {
 public:
  /// `json` is the text of a tokenizer.json. `place` begins messages. Throws DataError for a file that is
  /// refused, or if `end_of_document` is no token of it.
  static std::unique_ptr<BpeTokenizer> read(std::string_view json, std::string_view end_of_document,
                                            const std::string& place);
  /// Inverse of to_json().
  static std::unique_ptr<BpeTokenizer> from_description(const nlohmann::json& description);
  ~BpeTokenizer() override;

  void encode(std::string_view bytes, std::vector<std::int32_t>& tokens) const override;
  std::string decode(std::span<const std::int32_t> tokens) const override;
  std::size_t last_cut(std::string_view bytes) const override;
  /// The highest id + 1; ids between may have no token.
  std::int64_t vocab_size() const override { return static_cast<std::int64_t>(bytes_.size()); }
  std::int32_t end_of_document() const override { return end_of_document_; }
  std::string name() const override { return "bpe"; }
  /// The tokenizer.json, in one spelling, and the end of a document.
  std::string to_json() const override;

 private:
  struct Scratch;
  class ScratchLease;
  struct PieceHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view piece) const { return std::hash<std::string_view>()(piece); }
  };

  BpeTokenizer(std::string source, BpeParts parts, std::int32_t end_of_document);
  void encode_part(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& tokens) const;
  void encode_pieces(std::string_view text, Scratch& scratch, std::vector<std::int32_t>& tokens) const;

  std::string source_;              // tokenizer.json without blanks, keys sorted
  std::vector<std::string> bytes_;  // by id: what decode() writes
  Merges merges_;
  bool ignore_merges_;
  std::unordered_map<std::string, std::int32_t, PieceHash, std::equal_to<>> whole_pieces_;  // ignore_merges
  bool use_nfc_;
  AddedTokenFinder raw_added_;         // looked for in the text as it is
  AddedTokenFinder normalized_added_;  // looked for in the normalised text
  PreTokenizer pre_tokenizer_;
  std::int32_t end_of_document_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_;  // working memory that no thread is using
};

}  // namespace switchyard::data

// From bytes to tokens and back. Everything that reads tokens knows a tokenizer only through this interface
// and recognises it by its digest.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/storage/digest.h"

namespace switchyard::data {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Appends the tokens of `bytes` to `tokens`. Never appends end_of_document(). Safe from several threads.
  virtual void encode(std::string_view bytes, std::vector<std::int32_t>& tokens) const = 0;
  /// The bytes of `tokens`; end_of_document() stands for no bytes. The result may cut a character where the
  /// tokens do. Throws DataError for a token outside [0, vocab_size()).
  virtual std::string decode(std::span<const std::int32_t> tokens) const = 0;

  /// A length n, the longest found, at which `bytes` may be cut: for every `rest`, the tokens of bytes + rest
  /// are those of bytes[0, n) and those of bytes[n..] + rest. 0 if none was found.
  virtual std::size_t last_cut(std::string_view bytes) const;

  virtual std::int64_t vocab_size() const = 0;
  /// The token that prepare puts after each document.
  virtual std::int32_t end_of_document() const = 0;
  /// Short and stable, for people: "bytes".
  virtual std::string name() const = 0;
  /// Canonical JSON text from which tokenizer_from_json rebuilds an equal tokenizer.
  virtual std::string to_json() const = 0;
  /// Digest of to_json(): equal digests mean equal tokens for all texts.
  Digest digest() const;
};

/// Tokens 0..255 are the bytes themselves, 256 ends a document: vocabulary of 257, no unknown text.
class ByteTokenizer final : public Tokenizer {
 public:
  void encode(std::string_view bytes, std::vector<std::int32_t>& tokens) const override;
  std::string decode(std::span<const std::int32_t> tokens) const override;
  /// Any place will do; after a line end in the second half if there is one, else after a whole character.
  std::size_t last_cut(std::string_view bytes) const override;
  std::int64_t vocab_size() const override { return 257; }
  std::int32_t end_of_document() const override { return 256; }
  std::string name() const override { return "bytes"; }
  std::string to_json() const override;
};

/// "bytes", or the path of a tokenizer.json or of a folder that holds one. The token that ends a document is
/// `end_of_document`; if that is empty, the `eos_token` of tokenizer_config.json or else of
/// special_tokens_map.json beside the file, or else the file's only special token. Throws UserError for a
/// name that is neither or where no rule gives that token, DataError for a file that is refused.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& name_or_path,
                                          const std::string& end_of_document = {});

/// Inverse of Tokenizer::to_json. Throws DataError for text that is not exactly what a known tokenizer
/// writes.
std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json);

}  // namespace switchyard::data

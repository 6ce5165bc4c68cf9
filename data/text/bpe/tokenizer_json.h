// tokenizer.json of a byte-level BPE model, as the `tokenizers` package writes it: read with suspicion. What
// changes ids is either followed exactly or refused by its JSON path; keys that are not known are refused.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/text/bpe/added_tokens.h"
#include "data/text/bpe/merges.h"
#include "data/text/bpe/pre_tokenizer.h"

namespace switchyard::data {

inline constexpr std::uint64_t kMaxTokenizerJsonBytes = 64U << 20;
inline constexpr int kMaxTokenizerJsonDepth = 16;
/// Ids lie below this, and below 2^18 and sixteen times the tokens of the vocabulary, so that tables by id
/// stay small.
inline constexpr std::int64_t kMaxTokenId = 1 << 23;

struct BpeParts {
  /// By id: how the vocabulary or the added tokens spell it; empty where no token has the id.
  std::vector<std::string> spellings;
  std::array<std::int32_t, 256> byte_tokens{};
  std::vector<Merge> merges;
  /// A piece that is a token as a whole is that token, whatever the merges say.
  bool ignore_merges = false;
  /// With ignore_merges: bytes and id of every token of the vocabulary that a piece can be.
  std::vector<std::pair<std::string, std::int32_t>> whole_pieces;
  bool use_nfc = false;
  std::vector<AddedToken> added;
  std::vector<SplitStage> stages;
  bool add_prefix_space = false;
  std::size_t prefixed_stage = 0;  // see PreTokenizer
};

/// `place` (a file) begins every message. Throws DataError.
BpeParts read_bpe_parts(const nlohmann::json& document, const std::string& place);

}  // namespace switchyard::data

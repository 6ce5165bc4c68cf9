// The regular expressions of pre-tokenizers, read with the meaning that Oniguruma's Ruby syntax gives them
// (the engine of the `tokenizers` package). Only what has one plain meaning is read; everything else is
// refused by name.
//
//   alternatives a|b, groups (?:a) and (a), letters in either case (?i:a), look ahead (?=a) and (?!a),
//   ? * + {n} {n,m} {n,}, lazy and (on ? * +) possessive; literals, \r \n \t \f \v and escaped punctuation,
//   \uHHHH, \s \S \d \D, \p{L} \p{Lu} \P{..} \p{^..}, classes [..] of these with ranges, and the point.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/bpe/unicode/code_point_set.h"

namespace switchyard::data {

struct PatternNode {
  enum class Kind { set, sequence, alternatives, repeat, look_ahead };
  enum class Greed { greedy, lazy, possessive };

  Kind kind = Kind::sequence;
  std::size_t set = 0;                // set: index in ParsedPattern::sets
  std::vector<PatternNode> children;  // of repeat and look_ahead exactly one
  std::uint32_t least = 0;            // repeat
  std::uint32_t most = 0;             // repeat; kNoLimit = any number
  Greed greed = Greed::greedy;        // repeat
  bool is_negative = false;           // look_ahead
};

inline constexpr std::uint32_t kNoLimit = ~0U;

struct ParsedPattern {
  PatternNode root;
  std::vector<CodePointSet> sets;  // distinct
};

/// `place` (a path in the JSON) begins messages. Throws DataError for what is refused, for a pattern that
/// matches the empty text, and for one of more than 4096 bytes, 64 distinct sets or 32 levels.
ParsedPattern parse_pattern(std::string_view pattern, const std::string& place);

/// The pattern that matches exactly this text. Throws DataError if it is empty or longer than 4096 bytes.
ParsedPattern literal_pattern(std::string_view text, const std::string& place);

/// A single code point of the set.
ParsedPattern set_pattern(const CodePointSet& set);

/// True if the node can match the empty text.
bool matches_empty(const PatternNode& node);

}  // namespace switchyard::data

// A compiled pattern of a pre-tokenizer: finds matches, and knows where text may be cut.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/bpe/pattern/alphabet.h"
#include "data/text/bpe/pattern/syntax.h"

namespace switchyard::data {

/// Working memory of one thread: letters of the text and the matcher's own.
class PatternScratch {
 public:
  PatternScratch();
  ~PatternScratch();
  PatternScratch(const PatternScratch&) = delete;
  PatternScratch& operator=(const PatternScratch&) = delete;

 private:
  friend class Pattern;
  struct State;
  std::unique_ptr<State> state_;
};

/// Safe from several threads, each with its own scratch. Matching is by PCRE2 over the letters of an
/// Alphabet.
class Pattern {
 public:
  /// `place` begins messages. Throws DataError where the alphabet is too large or PCRE2 refuses the pattern.
  Pattern(const ParsedPattern& parsed, std::string place);
  ~Pattern();
  Pattern(Pattern&&) noexcept;

  /// Calls visit(piece, is_match) for all of `text` from front to back: matches from the left, leftmost and
  /// first alternative first, and what lies between them. `text` is well-formed UTF-8. Throws DataError where
  /// the matcher gives up (a pattern whose time grows exponentially).
  template <typename Visit>
  void split(std::string_view text, PatternScratch& scratch, Visit&& visit) const {
    begin(text, scratch);
    std::size_t at = 0, letter = 0;
    std::size_t first = 0, last = 0;
    while (find(scratch, letter, first, last)) {
      const std::size_t start = skip_characters(text, at, first - letter);
      const std::size_t stop = skip_characters(text, start, last - first);
      if (start > at) visit(text.substr(at, start - at), false);
      visit(text.substr(start, stop - start), true);
      at = stop;
      letter = last;
    }
    if (at < text.size()) visit(text.substr(at), false);
  }

  /// True if no attempt to match reads on from `before` to `after`: then what is matched in text that ends
  /// with `before` does not depend on an `after` that follows.
  bool never_joins(char32_t before, char32_t after) const {
    return !joins_[alphabet_.letter(before)][alphabet_.letter(after)];
  }
  /// True if a match can begin with any character like this one, whatever follows it.
  bool always_matches(char32_t first) const { return covered_[alphabet_.letter(first)]; }

 private:
  struct Code;

  void begin(std::string_view text, PatternScratch& scratch) const;
  /// The next match at or after letter `from`, as [first, last) in letters.
  bool find(PatternScratch& scratch, std::size_t from, std::size_t& first, std::size_t& last) const;
  static std::size_t skip_characters(std::string_view text, std::size_t at, std::size_t count) {
    for (; count > 0; --count) {
      const auto lead = static_cast<unsigned char>(text[at]);
      at += lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    }
    return at;
  }

  std::string place_;
  Alphabet alphabet_;
  std::vector<LetterSet> joins_;  // by letter
  LetterSet covered_;
  std::unique_ptr<Code> code_;
};

/// What Pattern::never_joins and Pattern::always_matches answer, from the pattern's structure.
/// joins[a] holds b if some set of the pattern that may come right after another, or be looked at from there,
/// holds b where the other holds a.
std::vector<LetterSet> joined_letters(const PatternNode& root, const Alphabet& alphabet);
LetterSet covered_letters(const PatternNode& root, const Alphabet& alphabet);

}  // namespace switchyard::data

// Code points as letters of one byte: two code points that no set of a pattern tells apart are the same
// letter. Matching then needs neither UTF-8 nor any table of Unicode but ours.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/bpe/unicode/code_point_set.h"

namespace switchyard::data {

using LetterSet = std::bitset<256>;

class Alphabet {
 public:
  /// Throws DataError, beginning with `place`, where the sets (at most 64) make more than 256 letters.
  Alphabet(const std::vector<CodePointSet>& sets, const std::string& place);

  std::uint8_t letter(char32_t code_point) const { return letters_[code_point]; }
  /// Letters of the sets given to the constructor.
  const LetterSet& letters_of(std::size_t set) const { return members_[set]; }
  int num_letters() const { return num_letters_; }

  /// Replaces `letters` by the letters of well-formed `text`, one for each code point.
  void translate(std::string_view text, std::vector<std::uint8_t>& letters) const;

 private:
  std::vector<std::uint8_t> letters_;  // by code point
  std::vector<LetterSet> members_;
  int num_letters_ = 0;
};

}  // namespace switchyard::data

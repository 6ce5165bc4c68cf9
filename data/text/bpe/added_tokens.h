// Tokens that are looked for in the text before it is divided ("<|endoftext|>"): found leftmost first and
// longest first, each then subject to its flags, as the `tokenizers` package does it.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/bpe/unicode/code_point_set.h"

namespace switchyard::data {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;       // UTF-8, not empty
  bool single_word = false;  // only where no word character stands beside it
  bool lstrip = false;       // takes in the white space before it
  bool rstrip = false;       // takes in the white space behind it
  bool normalized = false;   // looked for in the normalised text
  bool special = false;      // says what it is for; found like the others
};

/// One list of tokens that are looked for together.
class AddedTokenFinder {
 public:
  /// Contents must differ.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }

  /// Calls on_text(part) and on_token(id) for well-formed `text` from front to back; no part is empty.
  template <typename OnText, typename OnToken>
  void split(std::string_view text, OnText&& on_text, OnToken&& on_token) const {
    std::size_t done = 0;  // may go back: a token may begin inside the space that one before it took in
    for (std::size_t from = 0; from < text.size();) {
      const Match match = find(text, from);
      if (match.token == nullptr) break;
      from = match.end;
      if (match.token->single_word && touches_word(text, match)) continue;
      std::size_t begin = match.begin, end = match.end;
      if (match.token->lstrip) begin = std::max(space_before(text, begin), done);
      if (match.token->rstrip) end = space_behind(text, end);
      if (done < begin) on_text(text.substr(done, begin - done));
      on_token(match.token->id);
      done = end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

  /// True if cutting a text between these neighbours cannot change what is found: no content holds the two
  /// bytes in a row, and no flag looks across. `before_byte` ends the character `before`.
  bool may_cut(unsigned char before_byte, unsigned char after_byte, char32_t before, char32_t after) const;

 private:
  struct Node {
    std::vector<std::pair<unsigned char, std::uint32_t>> next;  // sorted by byte
    std::int32_t token = -1;
  };
  struct Match {
    std::size_t begin = 0;
    std::size_t end = 0;
    const AddedToken* token = nullptr;
  };

  void insert(std::uint32_t token);
  std::uint32_t step(std::uint32_t node, unsigned char byte) const;
  Match find(std::string_view text, std::size_t from) const;
  bool touches_word(std::string_view text, const Match& match) const;
  std::size_t space_before(std::string_view text, std::size_t at) const;
  std::size_t space_behind(std::string_view text, std::size_t at) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;               // a trie; 0 is its root
  std::bitset<256> first_bytes_;          // of all contents
  std::vector<std::bitset<256>> inside_;  // [a] holds b: some content has b right after a
  std::bitset<256> lstrip_first_bytes_;   // of contents with that flag
  std::bitset<256> rstrip_last_bytes_;
  std::bitset<256> word_first_bytes_, word_last_bytes_;
  CodePointSet space_;
  CodePointSet word_;
};

}  // namespace switchyard::data

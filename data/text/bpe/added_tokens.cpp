#include "data/text/bpe/added_tokens.h"

#include <algorithm>

#include "data/text/bpe/unicode/tables.h"
#include "data/text/utf8.h"
#include "kernels/runtime/check.h"

namespace switchyard::data {

namespace {

/// Where the character that ends at `end` begins.
std::size_t last_character(std::string_view text, std::size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U);
  return end;
}

char32_t code_point_at(std::string_view text, std::size_t at) {
  return next_code_point(text, at);
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)),
      nodes_(1),
      inside_(256),
      space_(strip_space()),
      word_(data::word_characters()) {
  for (std::uint32_t token = 0; token < tokens_.size(); ++token) insert(token);
}

void AddedTokenFinder::insert(std::uint32_t token) {
  const AddedToken& added = tokens_[token];
  SWITCHYARD_CHECK(!added.content.empty(), "added token {} is empty", added.id);
  std::uint32_t node = 0;
  for (const char character : added.content) {
    const auto byte = static_cast<unsigned char>(character);
    std::uint32_t child = step(node, byte);
    if (child == 0) {
      child = static_cast<std::uint32_t>(nodes_.size());
      auto& next = nodes_[node].next;
      next.insert(std::upper_bound(next.begin(), next.end(), std::pair(byte, 0U)), {byte, child});
      nodes_.emplace_back();
    }
    node = child;
  }
  SWITCHYARD_CHECK(nodes_[node].token < 0, "added token '{}' appears twice", added.content);
  nodes_[node].token = static_cast<std::int32_t>(token);
  const auto first = static_cast<unsigned char>(added.content.front());
  const auto last = static_cast<unsigned char>(added.content.back());
  first_bytes_.set(first);
  for (std::size_t at = 1; at < added.content.size(); ++at)
    inside_[static_cast<unsigned char>(added.content[at - 1])].set(
        static_cast<unsigned char>(added.content[at]));
  if (added.lstrip) lstrip_first_bytes_.set(first);
  if (added.rstrip) rstrip_last_bytes_.set(last);
  if (added.single_word) {
    word_first_bytes_.set(first);
    word_last_bytes_.set(last);
  }
}

std::uint32_t AddedTokenFinder::step(std::uint32_t node, unsigned char byte) const {
  const auto& next = nodes_[node].next;
  const auto found = std::lower_bound(next.begin(), next.end(), std::pair(byte, 0U));
  return found != next.end() && found->first == byte ? found->second : 0;
}

AddedTokenFinder::Match AddedTokenFinder::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!first_bytes_[static_cast<unsigned char>(text[begin])]) continue;
    Match longest;
    std::uint32_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      node = step(node, static_cast<unsigned char>(text[at]));
      if (node == 0) break;
      if (nodes_[node].token >= 0)
        longest = {begin, at + 1, &tokens_[static_cast<std::size_t>(nodes_[node].token)]};
    }
    if (longest.token != nullptr) return longest;
  }
  return {};
}

bool AddedTokenFinder::touches_word(std::string_view text, const Match& match) const {
  if (match.begin > 0 && word_.contains(code_point_at(text, last_character(text, match.begin)))) return true;
  return match.end < text.size() && word_.contains(code_point_at(text, match.end));
}

std::size_t AddedTokenFinder::space_before(std::string_view text, std::size_t at) const {
  while (at > 0) {
    const std::size_t before = last_character(text, at);
    if (!space_.contains(code_point_at(text, before))) break;
    at = before;
  }
  return at;
}

std::size_t AddedTokenFinder::space_behind(std::string_view text, std::size_t at) const {
  while (at < text.size()) {
    std::size_t next = at;
    if (!space_.contains(next_code_point(text, next))) break;
    at = next;
  }
  return at;
}

bool AddedTokenFinder::may_cut(unsigned char before_byte, unsigned char after_byte, char32_t before,
                               char32_t after) const {
  if (inside_[before_byte][after_byte]) return false;
  const bool is_space_before = space_.contains(before), is_space_after = space_.contains(after);
  // A token with lstrip reaches back, one with rstrip forward, through white space only.
  if (lstrip_first_bytes_.any() && is_space_before && (is_space_after || lstrip_first_bytes_[after_byte]))
    return false;
  if (rstrip_last_bytes_.any() && is_space_after && (is_space_before || rstrip_last_bytes_[before_byte]))
    return false;
  return !word_first_bytes_[after_byte] && !word_last_bytes_[before_byte];
}

}  // namespace switchyard::data

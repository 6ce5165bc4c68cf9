#include "data/text/bpe/pattern/alphabet.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "data/text/utf8.h"
#include "kernels/runtime/check.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

/// Where a set begins or ends: there the membership of all code points from `at` on changes in one bit.
struct Edge {
  char32_t at;
  std::uint64_t bit;
};

std::vector<Edge> edges_of(const std::vector<CodePointSet>& sets) {
  std::vector<Edge> edges;
  for (std::size_t set = 0; set < sets.size(); ++set) {
    for (const CodePointRange& range : sets[set].ranges()) {
      edges.push_back({range.first, 1ULL << set});
      edges.push_back({range.last + 1, 1ULL << set});
    }
  }
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.at < b.at; });
  return edges;
}

}  // namespace

Alphabet::Alphabet(const std::vector<CodePointSet>& sets, const std::string& place)
    : letters_(kLastCodePoint + 1), members_(sets.size()) {
  SWITCHYARD_CHECK(sets.size() <= 64, "{} sets in one pattern", sets.size());
  const std::vector<Edge> edges = edges_of(sets);
  std::unordered_map<std::uint64_t, std::uint8_t> known;
  std::uint64_t membership = 0;
  std::size_t edge = 0;
  for (char32_t begin = 0; begin <= kLastCodePoint;) {
    for (; edge < edges.size() && edges[edge].at == begin; ++edge) membership ^= edges[edge].bit;
    const char32_t end = edge < edges.size() ? edges[edge].at : kLastCodePoint + 1;
    auto found = known.find(membership);
    if (found == known.end()) {
      if (known.size() == 256)
        throw DataError(
            fmt::format("{}: the pattern must not tell apart more than 256 kinds of characters", place));
      found = known.emplace(membership, static_cast<std::uint8_t>(known.size())).first;
    }
    std::fill(letters_.begin() + begin, letters_.begin() + end, found->second);
    begin = end;
  }
  num_letters_ = static_cast<int>(known.size());
  for (const auto& [bits, letter] : known)
    for (std::size_t set = 0; set < sets.size(); ++set)
      if ((bits >> set & 1U) != 0) members_[set].set(letter);
}

void Alphabet::translate(std::string_view text, std::vector<std::uint8_t>& letters) const {
  letters.resize(text.size());
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x80) {
      letters[count++] = letters_[byte];
      ++at;
    } else {
      letters[count++] = letters_[next_code_point(text, at)];
    }
  }
  letters.resize(count);
}

}  // namespace switchyard::data

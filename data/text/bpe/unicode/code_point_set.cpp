#include "data/text/bpe/unicode/code_point_set.h"

#include <algorithm>
#include <iterator>

#include "data/text/bpe/unicode/tables.h"

namespace switchyard::data {

CodePointSet::CodePointSet(std::vector<CodePointRange> ranges) : ranges_(std::move(ranges)) {
  tidy();
}

void CodePointSet::tidy() {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const CodePointRange& a, const CodePointRange& b) { return a.first < b.first; });
  std::vector<CodePointRange> joined;
  for (const CodePointRange& range : ranges_) {
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  ranges_ = std::move(joined);
}

void CodePointSet::add(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  tidy();
}

CodePointSet CodePointSet::complement() const {
  CodePointSet rest;
  char32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) rest.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) rest.ranges_.push_back({next, kLastCodePoint});
  return rest;
}

bool CodePointSet::contains(char32_t code_point) const {
  const auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), code_point,
                       [](char32_t value, const CodePointRange& range) { return value < range.first; });
  return after != ranges_.begin() && code_point <= std::prev(after)->last;
}

std::optional<CodePointSet> category_set(std::string_view name) {
  std::vector<CodePointRange> ranges;
  bool is_known = false;
  const auto runs = category_runs();
  for (std::size_t at = 0; at < runs.size(); ++at) {
    const std::string_view category = kCategoryNames[runs[at] & 31U];
    if (category != name && !(name.size() == 1 && category[0] == name[0])) continue;
    is_known = true;
    const char32_t last = at + 1 < runs.size() ? (runs[at + 1] >> 5U) - 1 : kLastCodePoint;
    ranges.push_back({static_cast<char32_t>(runs[at] >> 5U), last});
  }
  if (!is_known) return std::nullopt;
  return CodePointSet(std::move(ranges));
}

}  // namespace switchyard::data

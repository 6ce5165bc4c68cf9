#include "data/text/bpe/pre_tokenizer.h"

#include <algorithm>

namespace switchyard::data {

namespace {

struct Part {
  std::string_view text;
  bool is_match;
};

/// `a` and `b` are neighbours in one text, in this order.
std::string_view join(std::string_view a, std::string_view b) {
  return {a.data(), a.size() + b.size()};
}

}  // namespace

std::vector<std::string_view> PreTokenizer::joined_parts(const SplitStage& stage, std::string_view text,
                                                         PatternScratch& scratch) {
  std::vector<Part> parts;
  stage.pattern.split(text, scratch, [&](std::string_view part, bool is_match) {
    parts.push_back({part, is_match != stage.is_inverted});
  });
  const bool is_backwards = stage.behavior == SplitBehavior::merged_with_next;
  if (is_backwards) std::reverse(parts.begin(), parts.end());
  std::vector<std::string_view> joined;
  bool was_match = false;
  for (const Part& part : parts) {
    // Contiguous joins neighbours of one kind; the others join a match to what came before it, once.
    const bool joins = stage.behavior == SplitBehavior::contiguous ? part.is_match == was_match
                                                                   : part.is_match && !was_match;
    if (!joins || joined.empty()) {
      joined.push_back(part.text);
    } else if (is_backwards) {
      joined.back() = join(part.text, joined.back());
    } else {
      joined.back() = join(joined.back(), part.text);
    }
    was_match = part.is_match;
  }
  if (is_backwards) std::reverse(joined.begin(), joined.end());
  return joined;
}

bool PreTokenizer::may_cut(char32_t before, char32_t after) const {
  if (add_prefix_space_ && after != U' ') return false;  // a part of its own would get a space in front
  bool is_divided = false;
  for (const SplitStage& stage : stages_) {
    const bool joins_parts =
        stage.behavior != SplitBehavior::isolated && stage.behavior != SplitBehavior::removed;
    if (joins_parts || !stage.pattern.never_joins(before, after)) return false;
    is_divided = is_divided || stage.pattern.always_matches(after);
  }
  return is_divided;
}

}  // namespace switchyard::data

// Divides text into the pieces that byte-pair merging works on, one stage after the other.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/bpe/pattern/pattern.h"

namespace switchyard::data {

/// What becomes of the matches of a pattern, by the names of tokenizer.json.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct SplitStage {
  Pattern pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool is_inverted = false;  // what does not match counts as match, and the other way round
};

class PreTokenizer {
 public:
  /// With `add_prefix_space`, a space is put before each piece of the stages before `prefixed_stage` that
  /// does not begin with one; `prefixed_stage` is stages.size() or the last.
  PreTokenizer(std::vector<SplitStage> stages, bool add_prefix_space, std::size_t prefixed_stage)
      : stages_(std::move(stages)), add_prefix_space_(add_prefix_space), prefixed_stage_(prefixed_stage) {}

  /// Working memory of one thread.
  struct Scratch {
    std::deque<PatternScratch> patterns;  // by stage
    std::string prefixed;
  };

  /// Calls visit(piece) for the pieces of well-formed `text` from front to back. Throws DataError where a
  /// pattern gives up.
  template <typename Visit>
  void split(std::string_view text, Scratch& scratch, Visit&& visit) const {
    while (scratch.patterns.size() < stages_.size()) scratch.patterns.emplace_back();
    run(0, text, scratch, visit);
  }

  /// True if text may be cut between these neighbours: each part is then divided as it would be in the whole,
  /// whatever comes before and behind. May say false where it is true.
  bool may_cut(char32_t before, char32_t after) const;

 private:
  template <typename Visit>
  void run(std::size_t stage, std::string_view piece, Scratch& scratch, Visit& visit) const {
    if (stage == prefixed_stage_ && add_prefix_space_ && !piece.starts_with(' ')) {
      scratch.prefixed.assign(1, ' ').append(piece);
      piece = scratch.prefixed;  // nothing before this stage is read again until all behind it is done
    }
    if (stage == stages_.size()) return visit(piece);
    divide(stages_[stage], piece, scratch.patterns[stage],
           [&](std::string_view part) { run(stage + 1, part, scratch, visit); });
  }

  template <typename Visit>
  static void divide(const SplitStage& stage, std::string_view text, PatternScratch& scratch, Visit&& visit) {
    if (stage.behavior == SplitBehavior::isolated)
      return stage.pattern.split(text, scratch, [&](std::string_view part, bool) { visit(part); });
    if (stage.behavior == SplitBehavior::removed)
      return stage.pattern.split(text, scratch, [&](std::string_view part, bool is_match) {
        if (is_match == stage.is_inverted) visit(part);
      });
    for (const std::string_view part : joined_parts(stage, text, scratch)) visit(part);
  }

  /// Parts of the behaviours that join a match to its neighbours.
  static std::vector<std::string_view> joined_parts(const SplitStage& stage, std::string_view text,
                                                    PatternScratch& scratch);

  std::vector<SplitStage> stages_;
  bool add_prefix_space_;
  std::size_t prefixed_stage_;
};

}  // namespace switchyard::data

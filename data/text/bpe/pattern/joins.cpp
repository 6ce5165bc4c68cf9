// Which letters an attempt to match may read one after the other, by the construction of Glushkov: first and
// last letters of each node, and the pairs between them. Repetitions are not counted, so the answer errs only
// on the side of joining.
#include <algorithm>

#include "data/text/bpe/pattern/pattern.h"

namespace switchyard::data {

namespace {

using Kind = PatternNode::Kind;

struct Ends {
  LetterSet first;
  LetterSet last;
};

class Joins {
 public:
  explicit Joins(const Alphabet& alphabet) : alphabet_(alphabet), joins_(256) {}

  Ends visit(const PatternNode& node) {
    switch (node.kind) {
      case Kind::set: {
        const LetterSet& letters = alphabet_.letters_of(node.set);
        return {letters, letters};
      }
      case Kind::sequence:
        return sequence(node);
      case Kind::alternatives: {
        Ends ends;
        for (const PatternNode& child : node.children) {
          const Ends part = visit(child);
          ends.first |= part.first;
          ends.last |= part.last;
        }
        return ends;
      }
      case Kind::repeat: {
        const Ends ends = visit(node.children[0]);
        if (node.most > 1) join(ends.last, ends.first);
        return ends;
      }
      case Kind::look_ahead:
        // What it looks at is read, but the match goes on from where the look began.
        return {visit(node.children[0]).first, {}};
    }
    return {};
  }

  std::vector<LetterSet> take() { return std::move(joins_); }

 private:
  void join(const LetterSet& before, const LetterSet& after) {
    for (std::size_t letter = 0; letter < before.size(); ++letter)
      if (before[letter]) joins_[letter] |= after;
  }

  Ends sequence(const PatternNode& node) {
    Ends ends;
    bool may_be_empty = true;
    for (const PatternNode& child : node.children) {
      const Ends part = visit(child);
      join(ends.last, part.first);
      if (may_be_empty) ends.first |= part.first;
      if (matches_empty(child)) {
        ends.last |= part.last;
      } else {
        ends.last = part.last;
        may_be_empty = false;
      }
    }
    return ends;
  }

  const Alphabet& alphabet_;
  std::vector<LetterSet> joins_;
};

/// True if what the node takes is given back where the rest of a match needs it, and nothing but what it
/// takes decides whether it matches.
bool gives_back(const PatternNode& node) {
  if (node.kind == Kind::look_ahead || node.greed == PatternNode::Greed::possessive) return false;
  return std::all_of(node.children.begin(), node.children.end(), gives_back);
}

/// Adds the letters on which the node matches whatever follows: all its parts may be left out but one, a
/// single set that needs one letter.
void add_covered(const PatternNode& node, const Alphabet& alphabet, LetterSet& covered) {
  switch (node.kind) {
    case Kind::set:
      covered |= alphabet.letters_of(node.set);
      return;
    case Kind::repeat:
      if (node.least <= 1) add_covered(node.children[0], alphabet, covered);
      return;
    case Kind::alternatives:
      for (const PatternNode& child : node.children) add_covered(child, alphabet, covered);
      return;
    case Kind::sequence: {
      const PatternNode* needed = nullptr;
      for (const PatternNode& child : node.children) {
        if (matches_empty(child) && gives_back(child)) continue;
        if (matches_empty(child)) return;
        if (needed != nullptr) return;
        needed = &child;
      }
      if (needed != nullptr) add_covered(*needed, alphabet, covered);
      return;
    }
    case Kind::look_ahead:
      return;
  }
}

}  // namespace

std::vector<LetterSet> joined_letters(const PatternNode& root, const Alphabet& alphabet) {
  Joins joins(alphabet);
  joins.visit(root);
  return joins.take();
}

LetterSet covered_letters(const PatternNode& root, const Alphabet& alphabet) {
  LetterSet covered;
  add_covered(root, alphabet, covered);
  return covered;
}

}  // namespace switchyard::data

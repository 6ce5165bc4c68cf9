#include "data/text/bpe/pattern/syntax.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/text/bpe/unicode/tables.h"
#include "data/text/utf8.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

using Kind = PatternNode::Kind;
using Greed = PatternNode::Greed;

constexpr std::size_t kMaxPatternBytes = 4096;
constexpr std::size_t kMaxSets = 64;
constexpr int kMaxDepth = 32;
constexpr std::uint32_t kMaxCount = 1000;

/// Neighbours that Oniguruma, ignoring case, also takes for one letter (U+00DF for ss, U+FB01 for fi, ...).
constexpr std::string_view kFoldedPairs[] = {"ss", "ff", "fi", "fl", "st"};

bool is_ascii_letter(char32_t c) {
  return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
}

class PatternParser {
 public:
  PatternParser(std::string_view pattern, const std::string& place) : pattern_(pattern), place_(place) {}

  ParsedPattern parse() {
    if (pattern_.empty() || pattern_.size() > kMaxPatternBytes)
      throw DataError(fmt::format("{}: a pattern must have 1 to {} bytes; got {}", place_, kMaxPatternBytes,
                                  pattern_.size()));
    if (const auto invalid = find_invalid_utf8(pattern_))
      throw DataError(
          fmt::format("{}: a pattern must be UTF-8; got an ill-formed byte at {}", place_, *invalid));
    parsed_.root = alternatives(0, false);
    if (at_ < pattern_.size()) refuse("a closing parenthesis needs an opening one");
    if (matches_empty(parsed_.root))
      throw DataError(fmt::format("{}: a pattern must not match the empty text; got {}", place_, pattern_));
    return std::move(parsed_);
  }

  std::size_t set_index(const CodePointSet& set) {
    const auto found = std::find(parsed_.sets.begin(), parsed_.sets.end(), set);
    if (found != parsed_.sets.end()) return static_cast<std::size_t>(found - parsed_.sets.begin());
    if (parsed_.sets.size() == kMaxSets)
      refuse(fmt::format("at most {} different sets of characters", kMaxSets));
    parsed_.sets.push_back(set);
    return parsed_.sets.size() - 1;
  }

  PatternNode set_node(const CodePointSet& set) {
    PatternNode node;
    node.kind = Kind::set;
    node.set = set_index(set);
    return node;
  }

 private:
  [[noreturn]] void refuse(const std::string& rule) const {
    throw DataError(
        fmt::format("{}: unsupported regular expression: {}; at byte {} of {}", place_, rule, at_, pattern_));
  }

  bool at_end() const { return at_ == pattern_.size(); }
  char peek() const { return at_end() ? '\0' : pattern_[at_]; }
  bool accept(std::string_view text) {
    if (!pattern_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  PatternNode alternatives(int depth, bool any_case) {
    if (depth > kMaxDepth) refuse(fmt::format("groups may be nested at most {} deep", kMaxDepth));
    PatternNode node;
    node.kind = Kind::alternatives;
    do node.children.push_back(sequence(depth, any_case));
    while (accept("|"));
    return node;
  }

  PatternNode sequence(int depth, bool any_case) {
    PatternNode node;
    std::string letters;  // literals in a row, for kFoldedPairs
    while (!at_end() && peek() != '|' && peek() != ')') {
      const std::size_t begin = at_;
      PatternNode next = atom(depth, any_case);
      const bool is_literal =
          at_ == begin + 1 && is_ascii_letter(static_cast<unsigned char>(pattern_[begin]));
      letters = is_literal ? letters + static_cast<char>(pattern_[begin] | 0x20) : std::string();
      if (any_case) check_folding(letters);
      node.children.push_back(repeats(std::move(next)));
    }
    return node;
  }

  void check_folding(std::string_view letters) const {
    for (const std::string_view pair : kFoldedPairs)
      if (letters.ends_with(pair))
        refuse(fmt::format("'{}' in either case also means a single letter, which is not known here", pair));
  }

  PatternNode repeats(PatternNode node) {
    bool is_interval = false;
    std::uint32_t least = 0, most = 0;
    if (accept("?")) {
      most = 1;
    } else if (accept("*")) {
      most = kNoLimit;
    } else if (accept("+")) {
      least = 1;
      most = kNoLimit;
    } else if (accept("{")) {
      is_interval = true;
      least = count();
      most = least;
      if (accept(",")) most = peek() == '}' ? kNoLimit : count();
      if (!accept("}") || most < least) refuse("an interval must be {n}, {n,m} or {n,} with n <= m");
      if (most == 0) refuse("an interval must allow at least one");
    } else {
      return node;
    }
    if (node.kind == Kind::look_ahead) refuse("a look ahead is not repeated");
    if (most > 1 && matches_empty(node)) refuse("what may match the empty text is not repeated");
    PatternNode repeat;
    repeat.kind = Kind::repeat;
    repeat.least = least;
    repeat.most = most;
    if (is_interval) {
      if (least == most && peek() == '?') refuse("{n}? has two meanings");
      if (accept("?")) repeat.greed = Greed::lazy;
    } else if (accept("?")) {
      repeat.greed = Greed::lazy;
    } else if (accept("+")) {
      repeat.greed = Greed::possessive;
    }
    repeat.children.push_back(std::move(node));
    if (is_interval && repeat.greed == Greed::greedy && accept("+")) {
      // In this syntax {n,m}+ is one or more times {n,m}, not possessive.
      PatternNode again;
      again.kind = Kind::repeat;
      again.least = 1;
      again.most = kNoLimit;
      again.children.push_back(std::move(repeat));
      repeat = std::move(again);
    }
    if (!at_end() && std::string_view("?*+{").find(peek()) != std::string_view::npos)
      refuse("a repetition is not repeated without a group");
    return repeat;
  }

  std::uint32_t count() {
    std::uint32_t value = 0;
    const std::size_t begin = at_;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<std::uint32_t>(peek() - '0');
      if (value > kMaxCount) refuse(fmt::format("a count may be at most {}", kMaxCount));
      ++at_;
    }
    if (at_ == begin) refuse("an interval needs a number");
    return value;
  }

  PatternNode atom(int depth, bool any_case) {
    switch (peek()) {
      case '(':
        return group(depth, any_case);
      case '[':
        if (any_case) refuse("classes inside (?i:");
        return set_node(bracketed());
      case '.':
        ++at_;
        return set_node(CodePointSet(std::vector<CodePointRange>{{U'\n', U'\n'}}).complement());
      case '\\':
        return set_node(escaped(any_case));
      case '^':
      case '$':
        refuse("anchors ^ and $");
      case '?':
      case '*':
      case '+':
      case '{':
      case '}':
      case ']':
        refuse(fmt::format("'{}' needs something before it, or a backslash", peek()));
      default:
        return set_node(literal(any_case));
    }
  }

  PatternNode group(int depth, bool any_case) {
    PatternNode look;
    look.kind = Kind::look_ahead;
    bool is_look = false;
    if (any_case) refuse("groups inside (?i:");
    if (accept("(?i:")) {
      any_case = true;
    } else if (accept("(?=") || accept("(?!")) {
      is_look = true;
      look.is_negative = pattern_[at_ - 1] == '!';
    } else if (!accept("(?:")) {
      accept("(");
      if (peek() == '?' || peek() == '*') refuse("groups are (?:..), (..), (?i:..), (?=..) or (?!..)");
    }
    PatternNode inside = alternatives(depth + 1, any_case);
    if (!accept(")")) refuse("a group needs its closing parenthesis");
    if (!is_look) return inside;
    look.children.push_back(std::move(inside));
    return look;
  }

  CodePointSet literal(bool any_case) {
    const char32_t c = next_code_point(pattern_, at_);
    CodePointSet set(std::vector<CodePointRange>{{c, c}});
    if (!any_case) return set;
    if (c >= 0x80) refuse("letters beyond ASCII inside (?i:");
    if (!is_ascii_letter(c)) return set;
    std::vector<CodePointRange> cases = {{c, c}, {c ^ 0x20U, c ^ 0x20U}};
    if ((c | 0x20U) == U'k') cases.push_back({0x212a, 0x212a});  // KELVIN SIGN
    if ((c | 0x20U) == U's') cases.push_back({0x17f, 0x17f});    // LATIN SMALL LETTER LONG S
    return CodePointSet(std::move(cases));
  }

  /// The set of an escape, which begins here. A single code point has a set of one.
  CodePointSet escaped(bool any_case) {
    ++at_;
    if (at_end()) refuse("a backslash at the end");
    const char letter = peek();
    const auto one = [](char32_t c) { return CodePointSet(std::vector<CodePointRange>{{c, c}}); };
    const std::size_t control = std::string_view("rntfvae").find(letter);
    if (control != std::string_view::npos) {
      ++at_;
      return one(static_cast<unsigned char>("\r\n\t\f\v\a\x1b"[control]));
    }
    if (letter == 's' || letter == 'S') {
      ++at_;
      return signed_set(CodePointSet(white_space()), letter == 'S');
    }
    if (letter == 'd' || letter == 'D') {
      ++at_;
      return signed_set(*category_set("Nd"), letter == 'D');
    }
    if (letter == 'p' || letter == 'P') {
      if (any_case) refuse("categories inside (?i:");
      return category(letter == 'P');
    }
    if (letter == 'u') return one(hexadecimal());
    const auto byte = static_cast<unsigned char>(letter);
    const bool is_word = is_ascii_letter(byte) || (byte >= '0' && byte <= '9') || byte == '_';
    if (byte >= 0x80 || byte <= 0x20 || is_word) refuse(fmt::format("the escape \\{}", letter));
    ++at_;
    return one(byte);
  }

  static CodePointSet signed_set(const CodePointSet& set, bool is_negative) {
    return is_negative ? set.complement() : set;
  }

  CodePointSet category(bool is_negative) {
    ++at_;
    if (!accept("{")) refuse("a category is written \\p{..}");
    if (accept("^")) is_negative = !is_negative;
    const std::size_t end = pattern_.find('}', at_);
    if (end == std::string_view::npos) refuse("a category needs its closing brace");
    const std::string_view name = pattern_.substr(at_, end - at_);
    const auto set = category_set(name);
    if (!set)
      refuse(fmt::format("the property '{}': only general categories such as L or Lu are known", name));
    at_ = end + 1;
    return signed_set(*set, is_negative);
  }

  char32_t hexadecimal() {
    ++at_;
    char32_t value = 0;
    for (int digit = 0; digit < 4; ++digit, ++at_) {
      const std::size_t known = std::string_view("0123456789abcdef0123456789ABCDEF").find(peek());
      if (at_end() || known == std::string_view::npos) refuse("\\u needs four hexadecimal digits");
      value = value << 4U | static_cast<char32_t>(known & 15U);
    }
    if (value >= 0xd800 && value < 0xe000) refuse("\\u must not name a surrogate");
    return value;
  }

  CodePointSet bracketed() {
    ++at_;
    const bool is_negative = accept("^");
    CodePointSet set;
    bool is_first = true;
    for (;; is_first = false) {
      if (at_end()) refuse("a class needs its closing bracket");
      if (peek() == ']') {
        if (is_first) refuse("an empty class, or ']' as its first character");
        ++at_;
        return signed_set(set, is_negative);
      }
      if (peek() == '[') refuse("'[' inside a class needs a backslash");
      if (pattern_.substr(at_).starts_with("&&")) refuse("intersections of classes");
      set.add(class_item(is_first));
    }
  }

  /// One character, a range, or an escaped set.
  CodePointSet class_item(bool is_first) {
    if (peek() == '-' && !is_first && !pattern_.substr(at_).starts_with("-]"))
      refuse("'-' inside a class stands first or last, between two characters, or after a backslash");
    const CodePointSet first = class_member();
    const bool is_range = peek() == '-' && !pattern_.substr(at_).starts_with("-]");
    if (!is_range) return first;
    ++at_;
    if (at_end() || peek() == '[') refuse("a range needs its end");
    const CodePointSet last = class_member();
    const auto is_one = [](const CodePointSet& set) {
      return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].last;
    };
    if (!is_one(first) || !is_one(last)) refuse("a range runs from one character to another");
    const char32_t low = first.ranges()[0].first, high = last.ranges()[0].first;
    if (low > high) refuse("a range must not run backwards");
    return CodePointSet(std::vector<CodePointRange>{{low, high}});
  }

  CodePointSet class_member() { return peek() == '\\' ? escaped(false) : literal(false); }

  std::string_view pattern_;
  const std::string& place_;
  std::size_t at_ = 0;
  ParsedPattern parsed_;
};

}  // namespace

ParsedPattern parse_pattern(std::string_view pattern, const std::string& place) {
  return PatternParser(pattern, place).parse();
}

ParsedPattern literal_pattern(std::string_view text, const std::string& place) {
  if (text.empty() || text.size() > kMaxPatternBytes)
    throw DataError(
        fmt::format("{}: a pattern must have 1 to {} bytes; got {}", place, kMaxPatternBytes, text.size()));
  ParsedPattern parsed;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const CodePointSet set(std::vector<CodePointRange>{{c, c}});
    const auto found = std::find(parsed.sets.begin(), parsed.sets.end(), set);
    PatternNode node;
    node.kind = Kind::set;
    node.set = static_cast<std::size_t>(found - parsed.sets.begin());
    if (found == parsed.sets.end()) parsed.sets.push_back(set);
    if (parsed.sets.size() > kMaxSets)
      throw DataError(fmt::format("{}: a pattern may have at most {} different characters", place, kMaxSets));
    parsed.root.children.push_back(std::move(node));
  }
  return parsed;
}

ParsedPattern set_pattern(const CodePointSet& set) {
  ParsedPattern parsed;
  parsed.sets.push_back(set);
  parsed.root.kind = Kind::set;
  return parsed;
}

bool matches_empty(const PatternNode& node) {
  const auto child_is_empty = [](const PatternNode& child) { return matches_empty(child); };
  switch (node.kind) {
    case Kind::set:
      return false;
    case Kind::sequence:
      return std::all_of(node.children.begin(), node.children.end(), child_is_empty);
    case Kind::alternatives:
      return std::any_of(node.children.begin(), node.children.end(), child_is_empty);
    case Kind::repeat:
      return node.least == 0 || matches_empty(node.children[0]);
    case Kind::look_ahead:
      return true;
  }
  return true;
}

}  // namespace switchyard::data

// Sets of Unicode code points as sorted ranges.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace switchyard::data {

inline constexpr char32_t kLastCodePoint = 0x10ffff;

struct CodePointRange {
  char32_t first;
  char32_t last;  // belongs to the range
  bool operator==(const CodePointRange&) const = default;
};

class CodePointSet {
 public:
  CodePointSet() = default;
  /// Ranges in any order, which may overlap; first <= last <= kLastCodePoint.
  explicit CodePointSet(std::vector<CodePointRange> ranges);
  explicit CodePointSet(std::span<const CodePointRange> ranges)
      : CodePointSet(std::vector<CodePointRange>(ranges.begin(), ranges.end())) {}

  void add(const CodePointSet& other);
  /// All other code points.
  CodePointSet complement() const;
  bool contains(char32_t code_point) const;
  /// Sorted, disjoint, not adjacent.
  const std::vector<CodePointRange>& ranges() const { return ranges_; }
  bool operator==(const CodePointSet&) const = default;

 private:
  void tidy();
  std::vector<CodePointRange> ranges_;
};

/// The code points of a general category: one letter (L, M, N, P, S, Z, C) or two (Lu, Nd, ...). None for
/// another name.
std::optional<CodePointSet> category_set(std::string_view name);

}  // namespace switchyard::data

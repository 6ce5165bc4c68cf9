// YAML text to a plain tree with places. The only file that includes yaml-cpp; it listens to the parser's
// events, so limits act while the text is read, before any tree of a hostile file exists.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/config/source/mistakes.h"

namespace switchyard::app {

inline constexpr std::size_t kMostFileBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMostNodes = 100'000;
inline constexpr std::size_t kMostDepth = 64;
inline constexpr std::size_t kMostAliasNodes = 10'000;

struct YamlEntry;

/// One node. Aliases share the node they name, so a tree is acyclic but may visit a node more than once.
struct YamlNode {
  enum class Kind { empty, scalar, sequence, map };

  Kind kind = Kind::empty;
  Place place;
  std::string text;                                    ///< scalar
  bool quoted = false;                                 ///< scalar in quotes or as a block
  std::vector<std::shared_ptr<const YamlNode>> items;  ///< sequence
  std::vector<YamlEntry> entries;                      ///< map, in file order, every key once
  std::size_t nodes = 1;                               ///< visited by a walk over this node
};

struct YamlEntry {
  std::string key;
  Place place;  ///< of the key
  std::shared_ptr<const YamlNode> value;
};

/// Parses one YAML document. Appends to `mistakes` and goes on for: duplicate keys, keys that are not words,
/// merge keys, tags. Appends one mistake and returns nullptr where reading cannot go on: no valid UTF-8,
/// control characters, bad YAML, several documents, a cyclic alias, a limit above. Text of no document gives
/// an empty map.
std::shared_ptr<const YamlNode> parse_yaml(std::string_view text, std::vector<Mistake>& mistakes);

/// What a node is, for "got ...": its text, or "a map", "a list", "nothing".
std::string describe(const YamlNode& node);

}  // namespace switchyard::app

// Rules between keys. Each key's own range is in the option table; what two or more of them must satisfy is
// here.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config/config.h"
#include "app/config/source/mistakes.h"

namespace switchyard::app {

/// What the reader knows about the keys, so that a rule's mistake gets a place and is left out where a key it
/// reads is wrong already.
struct KeyKnowledge {
  std::function<bool(std::string_view path)> is_given;   ///< in the file or by --set
  std::function<bool(std::string_view path)> is_broken;  ///< has a mistake of its own
  std::function<Place(std::string_view path)> place;     ///< of a given key, else of its nearest section
};

/// All rules broken by a resolved `config`.
std::vector<Mistake> broken_rules(const Config& config, const KeyKnowledge& keys);

/// Throws UserError unless `ranks` processes can hold the configuration's mesh: ranks is a multiple of
/// parallel.expert. The message lists what would work.
void check_layout(const Config& config, std::int64_t ranks);

/// Values of parallel.expert that divide both `ranks` and the experts (1 alone for a dense model), rising.
std::vector<std::int64_t> possible_expert_axes(const Config& config, std::int64_t ranks);

}  // namespace switchyard::app

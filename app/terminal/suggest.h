// The nearest valid name for a misspelt one.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace switchyard::app {

/// Edits (insert, delete, replace a byte, swap two neighbours) between two names: the optimal string
/// alignment distance. O(|a| |b|) time; callers bound the lengths.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate with the fewest edits from `name`, the first of equals; none if more than a third of the
/// longer name would have to change, or if `name` is longer than 64 bytes. Case and '-' against '_' do not
/// count.
std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> candidates);

}  // namespace switchyard::app

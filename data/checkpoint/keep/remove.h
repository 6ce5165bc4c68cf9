// Taking folders away so that a crash never leaves half of one under a name that counts.
#pragma once

#include <filesystem>
#include <string_view>

#include "data/io/io.h"

namespace switchyard::data {

/// Deletes a folder and what is in it; follows no link; nothing happens if it is absent.
void remove_tree(Io& io, const std::filesystem::path& folder);

/// Renames a checkpoint to a `.trash-` name that ends in `tag`, and syncs the parent: from then on it does
/// not exist. Then deletes it; what a failure leaves is taken by clean_abandoned. Throws only if the
/// withdrawal fails.
void withdraw(Io& io, const std::filesystem::path& checkpoint, std::string_view tag);

}  // namespace switchyard::data

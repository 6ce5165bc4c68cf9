// Texts between ranks.
#pragma once

#include <string>
#include <vector>

#include "parallel/communicators/communicator.h"

namespace switchyard::app {

/// The text of rank 0, on every rank. Collective.
std::string broadcast_text(parallel::Communicator& world, const std::string& text);
/// The texts of all ranks in rank order, on every rank. Collective.
std::vector<std::string> gather_texts(parallel::Communicator& world, const std::string& text);

}  // namespace switchyard::app

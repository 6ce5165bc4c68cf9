// What a run needs memory for: said when a device has too little.
#pragma once

#include <string>

#include "app/config/config.h"
#include "kernels/runtime/out_of_memory.h"

namespace switchyard::app {

/// What was asked for and what there is; what the rank's state takes, by formula; what activations took so
/// far (0 = none were made yet); which keys to change, the most promising first. model.vocab_size must be
/// known.
std::string out_of_memory_text(const Config& config, int ranks, const kernels::OutOfMemory& error,
                               std::size_t activation_bytes);

}  // namespace switchyard::app

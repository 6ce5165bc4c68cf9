// A configuration as YAML that loads back to the same value.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "app/config/config.h"

namespace switchyard::app {

/// Every key with its value, in table order. `header` lines come first as comments (versions, digests); line
/// ends inside them become spaces.
std::string config_yaml(const Config& config, std::span<const std::string> header = {});

/// One section with the sections inside it ("model"), as config_yaml writes them.
std::string section_yaml(const Config& config, std::string_view section);

/// One line per key that differs: "train.steps: 100 -> 200". Empty if none does.
std::string differences_text(const Config& before, const Config& after);

}  // namespace switchyard::app

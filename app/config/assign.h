// From one YAML node to one field, by the kind of its option.
#pragma once

#include <optional>

#include "app/config/config.h"
#include "app/config/source/scalars.h"
#include "app/config/source/yaml_tree.h"
#include "app/config/table/option.h"

namespace switchyard::app {

/// Sets the option's field from `node`, which is not empty. Returns why not if the node is of the wrong kind
/// or outside the option's range; the field is then unchanged.
std::optional<Refusal> assign(Config& config, const Option& option, const YamlNode& node);

}  // namespace switchyard::app

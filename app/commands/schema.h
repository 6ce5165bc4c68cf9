#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

/// `switchyard schema [--markdown]`: the JSON Schema of configuration files, or the reference page, on
/// stdout.
int run_schema(const Arguments& arguments);

}  // namespace switchyard::app

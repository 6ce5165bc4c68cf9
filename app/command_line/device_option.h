// --device of the commands that run a stored model.
#pragma once

#include <CLI/CLI.hpp>

#include "app/config/config.h"

namespace switchyard::app {

/// `device` keeps its value unless the option is given. The device need not be the one of the training.
void add_device_option(CLI::App& command, DeviceChoice& device);

}  // namespace switchyard::app

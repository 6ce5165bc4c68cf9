// switchyard verify: shows on the user's own configuration that a layout changes no bit.
#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

int run_verify(const Arguments& arguments);

}  // namespace switchyard::app

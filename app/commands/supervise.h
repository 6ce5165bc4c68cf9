// `switchyard supervise`: keep a training command running.
#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

int run_supervise(const Arguments& arguments);

}  // namespace switchyard::app

// switchyard generate: continues a prompt with a trained model.
#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

int run_generate(const Arguments& arguments);

}  // namespace switchyard::app

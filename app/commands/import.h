// `switchyard import`: a Hugging Face folder as a checkpoint to train on from.
#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

int run_import(const Arguments& arguments);

}  // namespace switchyard::app

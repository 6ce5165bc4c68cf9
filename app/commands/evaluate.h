// switchyard evaluate: loss of a trained model on token shards.
#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

int run_evaluate(const Arguments& arguments);

}  // namespace switchyard::app

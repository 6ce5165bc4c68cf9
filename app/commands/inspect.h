// switchyard inspect: what is in a shard, a prepared folder, a checkpoint or a run.
#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

int run_inspect(const Arguments& arguments);

}  // namespace switchyard::app

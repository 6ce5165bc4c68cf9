// switchyard prepare: text in, token shards out.
#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

int run_prepare(const Arguments& arguments);

}  // namespace switchyard::app

// switchyard train: runs or resumes a training run.
#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

int run_train(const Arguments& arguments);

}  // namespace switchyard::app

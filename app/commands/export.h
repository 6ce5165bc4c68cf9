// `switchyard export`: a trained model as a Hugging Face folder.
#pragma once

#include "app/commands/command.h"

namespace switchyard::app {

int run_export(const Arguments& arguments);

}  // namespace switchyard::app

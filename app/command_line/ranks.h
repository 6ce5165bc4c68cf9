// Commands that run on all ranks of a launch.
#pragma once

#include <functional>
#include <string_view>

#include "parallel/communicators/mpi.h"

namespace switchyard::app {

/// Calls body on every rank and returns its value. A failure of a rank is described once, in the words of
/// every command (dispatch.h), and ends all ranks with its exit code; a single rank's failure is thrown to
/// the caller.
int run_on_ranks(std::string_view command, const std::function<int(parallel::MpiWorld&)>& body);

}  // namespace switchyard::app

// The counters behind control.h and the lock that all calls of the runtime take.
#pragma once

#include <mutex>

#include "tests/support/cuda_on_host/control.h"

namespace switchyard::cuda_on_host {

Counters& counting();
std::recursive_mutex& runtime_mutex();

}  // namespace switchyard::cuda_on_host

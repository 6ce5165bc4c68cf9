// Stands in for CUDA's header when the kernels are compiled for the host: the words of the language, what
// threads can ask and do, and the calls of the runtime that Switchyard uses. See
// tests/support/cuda_on_host/README.md.
#pragma once

#include "tests/support/cuda_on_host/device_functions.h"
#include "tests/support/cuda_on_host/runtime_calls.h"
#include "tests/support/cuda_on_host/vector_types.h"

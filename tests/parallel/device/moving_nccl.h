// NCCL's calls between threads as ranks on the stand-in's device (tests/support/cuda_on_host): every byte is
// moved and every sum formed, once all ranks have come and the work before each rank's call has been done.
#pragma once

#include <functional>
#include <memory>

#include "kernels/runtime/device.h"
#include "parallel/communicators/device/nccl/nccl_calls.h"

namespace switchyard::test {

/// As make_nccl_calls. Peers of a rank that aborts are told so when they poll. Calls that do not match
/// (sizes, roots, a message without its counterpart) fail on all ranks. `before` is called as each collective
/// of this rank begins.
std::unique_ptr<parallel::NcclCalls> make_moving_nccl_calls(
    kernels::DeviceQueue& caller, std::function<void()> before = [] {});

/// Collectives carried out since the process began.
std::int64_t moved_collectives();

}  // namespace switchyard::test

// Ranks with a GPU each: what lies in device memory goes through NCCL, what lies in host memory and all
// control through the communicator beneath.
#pragma once

#include <functional>
#include <memory>

#include "parallel/communicators/communicator.h"
#include "parallel/communicators/device/nccl_group.h"

namespace switchyard::parallel {

/// True for memory of the rank's device.
using IsDeviceMemory = std::function<bool(const void*)>;
/// A fresh table for a group's communicator.
using MakeNcclCalls = std::function<std::unique_ptr<NcclCalls>()>;

struct NcclOptions {
  MakeNcclCalls make_calls;
  IsDeviceMemory is_device;
  NcclLimits limits;
  PollClock clock;
};

/// Takes over `host` (MPI), over which the ids of this group and of those split from it are told. Collective.
/// Sums and gathers of device memory may have any sizes; a collective's buffers lie all on the device or all
/// on the host, alike on all ranks.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host, NcclOptions options);

}  // namespace switchyard::parallel

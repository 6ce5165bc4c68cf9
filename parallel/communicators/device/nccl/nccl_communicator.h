// Ranks with a GPU each: what lies in device memory goes through NCCL.
#pragma once

#include <functional>
#include <memory>

#include "parallel/communicators/communicator.h"
#include "parallel/communicators/device/nccl/nccl_group.h"

namespace switchyard::parallel {

/// A fresh table for a group's communicator.
using MakeNcclCalls = std::function<std::unique_ptr<NcclCalls>()>;

struct NcclOptions {
  MakeNcclCalls make_calls;
  /// Returns when the rank's own work on the device is done; before each collective.
  std::function<void()> wait_for_device = [] {};
  NcclLimits limits;
  PollClock clock;
};

/// Takes over `host` (MPI), over which the ids of this group and of those split from it are told. Collective.
/// Sums and gathers of device memory may have any sizes. A group of one rank has no NCCL, and nothing of a
/// device to exchange.
std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host, NcclOptions options);

}  // namespace switchyard::parallel

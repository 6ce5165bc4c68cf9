// The ranks of a run with buffers in device memory.
#pragma once

#include <memory>
#include <string>

#include "kernels/runtime/context.h"
#include "parallel/communicators/communicator.h"
#include "parallel/communicators/device/nccl/nccl_communicator.h"
#include "parallel/communicators/device/route.h"

namespace switchyard::parallel {

struct DeviceWorld {
  ChosenRoute route;
  /// The same ranks as `world`, reaching device memory; nullptr where the route is none and `world` serves.
  std::unique_ptr<Communicator> communicator;
};

/// Finds out where all ranks compute and opens the way between them. Collective over `world`, which goes on
/// to exist beside it. `context`: this rank's, on the calling thread's device, which must outlive the result.
/// `host`: the name of this rank's host. `make_calls`: a table of NCCL's calls other than the library's, for
/// tests. Throws UserError (a mixture of devices), DeviceError (built without NCCL), PeerError and HangError
/// (NCCL).
DeviceWorld open_device_world(Communicator& world, kernels::Context& context, const std::string& host,
                              const NcclLimits& limits = {}, MakeNcclCalls make_calls = {});

}  // namespace switchyard::parallel

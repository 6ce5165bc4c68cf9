// Where a rank computes, and how its device's memory reaches the other ranks.
#pragma once

#include <memory>
#include <string>

#include "app/config/config.h"
#include "kernels/runtime/context.h"
#include "parallel/communicators/device/device_world.h"
#include "parallel/communicators/mpi.h"

namespace switchyard::app {

/// The device that run.device asks for. On a GPU, the calling thread uses it from here on: the ranks of a
/// host take its GPUs in turn. Throws DeviceError where a GPU is asked for and there is none.
Device choose_device(DeviceChoice choice, int rank_on_host);

/// open_device_world with the limits of `watchdog`, which is to find who hangs before an exchange gives up.
parallel::DeviceWorld open_device_world(const WatchdogConfig& watchdog, parallel::Communicator& world,
                                        kernels::Context& context, const std::string& host);

}  // namespace switchyard::app

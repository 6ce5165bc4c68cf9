#include "app/train/rank_device.h"

#include <fmt/format.h>

#include <chrono>

#include "kernels/runtime/device.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

// Only who asks for a GPU by name gets one, until the back end has been proven on one.
Device choose_device(DeviceChoice choice, int rank_on_host) {
  if (choice != DeviceChoice::cuda) return Device::cpu;
  const kernels::FoundDevices found = kernels::found_devices();
  if (found.devices.empty())
    throw DeviceError(
        fmt::format("cuda was asked for, but {}; set run.device: cpu (or --device cpu)", found.none_because));
  kernels::use_device(parallel::device_of_rank(rank_on_host, static_cast<int>(found.devices.size())));
  return Device::cuda;
}

parallel::DeviceWorld open_device_world(const WatchdogConfig& watchdog, parallel::Communicator& world,
                                        kernels::Context& context, const std::string& host) {
  parallel::NcclLimits limits;
  const std::chrono::seconds hang(watchdog.hang_after_seconds);
  constexpr std::chrono::hours kNever(24 * 365);
  if (watchdog.enable) limits.collective = hang.count() > 0 ? 2 * hang : kNever;
  return parallel::open_device_world(world, context, host, limits);
}

}  // namespace switchyard::app

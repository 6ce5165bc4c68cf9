// Which way the exchange of device memory goes: a pure function of where the ranks sit.
#pragma once

#include <span>
#include <string>

namespace switchyard::parallel {

/// Where a rank computes.
struct DevicePlace {
  std::string host;
  std::string device;  ///< its current_device_address() (kernels/runtime/device_address.h); empty = the CPU
};

enum class DeviceRoute : std::uint8_t {
  none,         ///< ranks on CPUs, or one rank: nothing of a device crosses ranks
  nccl,         ///< every rank has a GPU of its own
  host_memory,  ///< ranks share a GPU, which NCCL does not allow: copies through host memory and MPI
};

struct ChosenRoute {
  DeviceRoute route = DeviceRoute::none;
  std::string announcement;  ///< for the log, with the reason; empty for none
};

/// The same on all ranks. Throws UserError when some ranks have a GPU and others do not.
ChosenRoute choose_route(std::span<const DevicePlace> ranks);

/// The GPU of a rank, dealt round robin over the host's ranks; -1 where the host has none.
int device_of_rank(int rank_on_host, int devices_on_host);

}  // namespace switchyard::parallel

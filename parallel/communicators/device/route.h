// Which way the exchange of device memory goes: a pure function of where the ranks sit.
#pragma once

#include <span>
#include <string>

namespace switchyard::parallel {

/// Where a rank computes.
struct RankPlace {
  std::string host;
  int device = -1;  ///< index on the host; -1 = the CPU
};

enum class DeviceRoute : std::uint8_t {
  none,         ///< ranks on CPUs: MPI alone
  nccl,         ///< every rank has a GPU of its own
  host_memory,  ///< ranks share a GPU, which NCCL does not allow: copies through host memory and MPI
};

struct ChosenRoute {
  DeviceRoute route = DeviceRoute::none;
  std::string announcement;  ///< for the log, with the reason
};

/// The same on all ranks. Throws UserError when some ranks have a GPU and others do not.
ChosenRoute choose_route(std::span<const RankPlace> ranks);

/// The GPU of a rank, dealt round robin over the host's ranks; -1 where the host has none.
int device_of_rank(int rank_on_host, int devices_on_host);

}  // namespace switchyard::parallel

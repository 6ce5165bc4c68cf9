#include "parallel/communicators/device/route.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "kernels/runtime/error.h"

namespace switchyard::parallel {

ChosenRoute choose_route(std::span<const DevicePlace> ranks) {
  std::map<std::pair<std::string, std::string>, std::size_t> first_rank;
  std::size_t on_gpu = 0;
  std::string shared;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const DevicePlace& place = ranks[rank];
    if (place.device.empty()) continue;
    ++on_gpu;
    const auto [at, fresh] = first_rank.try_emplace({place.host, place.device}, rank);
    if (!fresh && shared.empty())
      shared = fmt::format("{} and {} compute on {} of {}", at->second, rank, place.device, place.host);
  }
  if (on_gpu == 0) return {};
  if (on_gpu < ranks.size()) {
    std::size_t without = 0;
    while (!ranks[without].device.empty()) ++without;
    throw UserError(fmt::format(
        "run.device: all ranks compute on a GPU or all on the CPU; {} of {} ranks have a GPU, rank {} on {} "
        "has none. Set run.device: cpu, or start ranks only on hosts with GPUs",
        on_gpu, ranks.size(), without, ranks[without].host));
  }
  if (ranks.size() == 1) return {};
  if (!shared.empty())
    return {DeviceRoute::host_memory,
            fmt::format("exchange: through host memory over MPI, {} ranks share {} GPU{} (ranks {}; NCCL "
                        "wants a GPU for each)",
                        ranks.size(), first_rank.size(), first_rank.size() == 1 ? "" : "s", shared)};
  return {DeviceRoute::nccl, fmt::format("exchange: NCCL between {} GPUs", ranks.size())};
}

int device_of_rank(int rank_on_host, int devices_on_host) {
  return devices_on_host <= 0 ? -1 : rank_on_host % devices_on_host;
}

}  // namespace switchyard::parallel

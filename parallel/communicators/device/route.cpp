#include "parallel/communicators/device/route.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "kernels/runtime/error.h"

namespace switchyard::parallel {

ChosenRoute choose_route(std::span<const RankPlace> ranks) {
  std::map<std::pair<std::string, int>, std::size_t> first_rank;
  std::size_t on_gpu = 0;
  std::string shared;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankPlace& place = ranks[rank];
    if (place.device < 0) continue;
    ++on_gpu;
    const auto [at, fresh] = first_rank.try_emplace({place.host, place.device}, rank);
    if (!fresh && shared.empty())
      shared = fmt::format("ranks {} and {} share GPU {} of {}", at->second, rank, place.device, place.host);
  }
  if (on_gpu == 0) return {DeviceRoute::none, ""};
  if (on_gpu < ranks.size()) {
    std::size_t without = 0;
    while (ranks[without].device >= 0) ++without;
    throw UserError(fmt::format(
        "run.device: all ranks compute on a GPU or all on the CPU; {} of {} ranks have a GPU, rank {} on {} "
        "has none. Set run.device: cpu, or start ranks only on hosts with GPUs",
        on_gpu, ranks.size(), without, ranks[without].host));
  }
  if (!shared.empty())
    return {DeviceRoute::host_memory,
            fmt::format("exchange: through host memory over MPI, since {} (NCCL wants a GPU for each rank)",
                        shared)};
  return {DeviceRoute::nccl, fmt::format("exchange: NCCL between {} GPUs", ranks.size())};
}

int device_of_rank(int rank_on_host, int devices_on_host) {
  return devices_on_host <= 0 ? -1 : rank_on_host % devices_on_host;
}

}  // namespace switchyard::parallel

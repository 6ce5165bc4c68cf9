#include "parallel/mesh/mesh.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/runtime/check.h"

namespace switchyard::parallel {

std::vector<int> MeshLayout::possible_expert_axes(int ranks, std::int64_t experts) {
  std::vector<int> axes;
  for (int axis = 1; axis <= ranks; ++axis) {
    if (ranks % axis == 0 && (experts == 0 ? axis == 1 : experts % axis == 0)) axes.push_back(axis);
  }
  return axes;
}

MeshLayout::MeshLayout(int ranks, int expert_axis, std::int64_t experts)
    : ranks_(ranks), expert_axis_(expert_axis), experts_(experts) {
  SWITCHYARD_CHECK(ranks >= 1 && experts >= 0, "a mesh has ranks; got {} ranks, {} experts", ranks, experts);
  const bool divides = expert_axis >= 1 && ranks % expert_axis == 0;
  const bool shares = experts == 0 ? expert_axis == 1 : expert_axis >= 1 && experts % expert_axis == 0;
  if (divides && shares) return;
  throw UserError(
      fmt::format("parallel.expert must divide the number of ranks and the number of experts; got {} with {} "
                  "ranks and {} "
                  "experts. Possible with {} ranks: parallel.expert = {}",
                  expert_axis, ranks, experts, ranks, fmt::join(possible_expert_axes(ranks, experts), ", ")));
}

Mesh::Mesh(Communicator& world, int expert_axis, std::int64_t experts)
    : layout_(world.size(), expert_axis, experts), data_(world) {
  const int own_replica = layout_.replica(world.rank());
  const int own_expert = layout_.expert_coordinate(world.rank());
  expert_ = world.split(own_replica, own_expert, fmt::format("expert axis of replica {}", own_replica));
  replicas_ =
      world.split(own_expert, own_replica, fmt::format("replicas of expert coordinate {}", own_expert));
}

}  // namespace switchyard::parallel

#include "parallel/mesh/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "kernels/runtime/error.h"
#include "parallel/communicators/local.h"

namespace switchyard::parallel {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string user_error_of(int ranks, int expert_axis, std::int64_t experts) {
  try {
    MeshLayout(ranks, expert_axis, experts);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(MeshLayout, CoordinatesNumberEveryRankOnce) {
  for (int ranks = 1; ranks <= 24; ++ranks) {
    for (const int axis : MeshLayout::possible_expert_axes(ranks, 24)) {
      const MeshLayout layout(ranks, axis, 24);
      std::set<std::pair<int, int>> places;
      for (int rank = 0; rank < ranks; ++rank) {
        EXPECT_LT(layout.expert_coordinate(rank), axis);
        EXPECT_LT(layout.replica(rank), layout.replicas());
        EXPECT_EQ(layout.rank_at(layout.replica(rank), layout.expert_coordinate(rank)), rank);
        EXPECT_EQ(layout.first_expert(rank), layout.expert_coordinate(rank) * 24 / axis);
        places.emplace(layout.replica(rank), layout.expert_coordinate(rank));
      }
      EXPECT_EQ(std::ssize(places), ranks);
    }
  }
}

TEST(MeshLayout, PossibleAxesDivideRanksAndExperts) {
  EXPECT_THAT(MeshLayout::possible_expert_axes(12, 8), ElementsAre(1, 2, 4));
  EXPECT_THAT(MeshLayout::possible_expert_axes(6, 12), ElementsAre(1, 2, 3, 6));
  EXPECT_THAT(MeshLayout::possible_expert_axes(5, 8), ElementsAre(1));
  EXPECT_THAT(MeshLayout::possible_expert_axes(4, 0), ElementsAre(1));
}

TEST(MeshLayout, RefusesWithTheListOfWhatIsPossible) {
  EXPECT_THAT(user_error_of(12, 3, 8), HasSubstr("got 3 with 12 ranks and 8 experts"));
  EXPECT_THAT(user_error_of(12, 3, 8), HasSubstr("parallel.expert = 1, 2, 4"));
  EXPECT_THAT(user_error_of(4, 8, 8), HasSubstr("parallel.expert = 1, 2, 4"));
  EXPECT_THAT(user_error_of(4, 2, 0), HasSubstr("parallel.expert = 1"));
  EXPECT_THAT(user_error_of(4, 0, 8), HasSubstr("parallel.expert must divide"));
  EXPECT_EQ(user_error_of(4, 4, 8), "");
}

TEST(Mesh, GroupsHoldTheRightRanks) {
  run_local(6, [](Communicator& world) {
    Mesh mesh(world, 3, 12);
    EXPECT_EQ(mesh.expert().size(), 3);
    EXPECT_EQ(mesh.expert().rank(), mesh.expert_coordinate());
    EXPECT_EQ(mesh.replicas().size(), 2);
    EXPECT_EQ(mesh.replicas().rank(), mesh.replica());
    EXPECT_EQ(mesh.first_expert(), 4 * (world.rank() % 3));
    std::int64_t expert_ranks = std::int64_t{1} << (8 * world.rank());
    std::int64_t replica_ranks = expert_ranks;
    mesh.expert().all_reduce_sum({&expert_ranks, 1});
    mesh.replicas().all_reduce_sum({&replica_ranks, 1});
    EXPECT_EQ(expert_ranks, mesh.replica() == 0 ? 0x010101 : 0x010101000000);
    EXPECT_EQ(replica_ranks, 0x01000001LL << (8 * mesh.expert_coordinate()));
  });
}

TEST(Mesh, ImpossibleLayoutIsRefusedOnEveryRank) {
  std::atomic<int> refused = 0;
  run_local(4, [&](Communicator& world) {
    try {
      Mesh mesh(world, 3, 12);
    } catch (const UserError&) {
      ++refused;
    }
  });
  EXPECT_EQ(refused, 4);
}

}  // namespace

}  // namespace switchyard::parallel

#include "parallel/communicators/device/route.h"

#include <gmock/gmock.h>

#include <vector>

#include "kernels/runtime/error.h"

namespace switchyard::test {
namespace {

using parallel::choose_route;
using parallel::DeviceRoute;
using parallel::RankPlace;
using testing::HasSubstr;

TEST(DeviceRouteChoice, AGpuForEachRankIsNccl) {
  const std::vector<RankPlace> ranks = {{"a", 0}, {"a", 1}, {"b", 0}};
  EXPECT_EQ(choose_route(ranks).route, DeviceRoute::nccl);
  EXPECT_EQ(choose_route(ranks).announcement, "exchange: NCCL between 3 GPUs");
}

TEST(DeviceRouteChoice, SharedGpusGoThroughHostMemoryAndItIsSaid) {
  const std::vector<RankPlace> ranks = {{"a", 0}, {"b", 1}, {"b", 0}, {"b", 1}};
  EXPECT_EQ(choose_route(ranks).route, DeviceRoute::host_memory);
  EXPECT_THAT(choose_route(ranks).announcement, HasSubstr("ranks 1 and 3 share GPU 1 of b"));
}

TEST(DeviceRouteChoice, OneRankOnAGpuNeedsNoOther) {
  EXPECT_EQ(choose_route(std::vector<RankPlace>{{"a", 0}}).route, DeviceRoute::nccl);
}

TEST(DeviceRouteChoice, CpusAreMpiAlone) {
  EXPECT_EQ(choose_route(std::vector<RankPlace>{{"a", -1}, {"a", -1}}).route, DeviceRoute::none);
}

TEST(DeviceRouteChoice, AMixtureIsRefusedNamingTheRankWithout) {
  try {
    choose_route(std::vector<RankPlace>{{"a", 0}, {"b", -1}});
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("1 of 2 ranks have a GPU, rank 1 on b has none"));
  }
}

TEST(DeviceRouteChoice, GpusAreDealtRoundRobin) {
  EXPECT_EQ(parallel::device_of_rank(0, 2), 0);
  EXPECT_EQ(parallel::device_of_rank(3, 2), 1);
  EXPECT_EQ(parallel::device_of_rank(3, 0), -1);
}

}  // namespace
}  // namespace switchyard::test

#include "parallel/communicators/device/route.h"

#include <gmock/gmock.h>

#include <vector>

#include "kernels/runtime/error.h"

namespace switchyard::test {
namespace {

using parallel::choose_route;
using parallel::DevicePlace;
using parallel::DeviceRoute;
using testing::HasSubstr;

TEST(DeviceRouteChoice, AGpuForEachRankIsNccl) {
  const std::vector<DevicePlace> ranks = {{"a", "0"}, {"a", "1"}, {"b", "0"}};
  EXPECT_EQ(choose_route(ranks).route, DeviceRoute::nccl);
  EXPECT_EQ(choose_route(ranks).announcement, "exchange: NCCL between 3 GPUs");
}

TEST(DeviceRouteChoice, SharedGpusGoThroughHostMemoryAndItIsSaid) {
  const std::vector<DevicePlace> ranks = {{"a", "0"}, {"b", "1"}, {"b", "0"}, {"b", "1"}};
  EXPECT_EQ(choose_route(ranks).route, DeviceRoute::host_memory);
  EXPECT_EQ(choose_route(ranks).announcement,
            "exchange: through host memory over MPI, 4 ranks share 3 GPUs (ranks 1 and 3 compute on 1 of b; "
            "NCCL wants a GPU for each)");
}

TEST(DeviceRouteChoice, OneRankHasNobodyToExchangeWith) {
  EXPECT_EQ(choose_route(std::vector<DevicePlace>{{"a", "0"}}).route, DeviceRoute::none);
}

TEST(DeviceRouteChoice, CpusAreMpiAlone) {
  EXPECT_EQ(choose_route(std::vector<DevicePlace>{{"a", ""}, {"a", ""}}).route, DeviceRoute::none);
}

TEST(DeviceRouteChoice, AMixtureIsRefusedNamingTheRankWithout) {
  try {
    choose_route(std::vector<DevicePlace>{{"a", "0"}, {"b", ""}});
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

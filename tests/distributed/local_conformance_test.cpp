#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "kernels/runtime/error.h"
#include "parallel/communicators/local.h"
#include "tests/distributed/conformance.h"

namespace switchyard::parallel {

namespace {

class LocalConformance : public testing::TestWithParam<std::tuple<int, ConformanceCase>> {};

TEST_P(LocalConformance, Case) {
  run_local(std::get<0>(GetParam()), std::get<1>(GetParam()).run);
}

INSTANTIATE_TEST_SUITE_P(Ranks, LocalConformance,
                         testing::Combine(testing::Values(1, 2, 3, 4, 5),
                                          testing::ValuesIn(conformance_cases().begin(),
                                                            conformance_cases().end())),
                         [](const auto& given) {
                           return std::string(std::get<1>(given.param).name) + "On" +
                                  std::to_string(std::get<0>(given.param));
                         });

/// What run_local throws for `body`, which must be a PeerError.
std::string peer_error_of(int ranks, const std::function<void(Communicator&)>& body) {
  try {
    run_local(ranks, body);
  } catch (const PeerError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no PeerError";
  return "";
}

using testing::HasSubstr;

TEST(LocalMismatch, OtherCollectiveNamesBothSides) {
  const std::string text = peer_error_of(3, [](Communicator& world) {
    world.barrier();
    if (world.rank() == 1) {
      world.all_reduce_or(true);
    } else {
      world.barrier();
    }
  });
  EXPECT_THAT(text, HasSubstr("rank 0 is in barrier #1"));
  EXPECT_THAT(text, HasSubstr("rank 1 in all_reduce #1"));
}

TEST(LocalMismatch, OtherSizeNamesBothSides) {
  const std::string text = peer_error_of(2, [](Communicator& world) {
    std::vector<std::byte> data(world.rank() == 0 ? 8 : 16);
    world.broadcast(data, 0);
  });
  EXPECT_THAT(text, HasSubstr("(8 bytes)"));
  EXPECT_THAT(text, HasSubstr("(16 bytes)"));
}

TEST(LocalMismatch, PairSizesOfAnExchange) {
  const std::string text = peer_error_of(3, [](Communicator& world) {
    std::vector<std::byte> data(64);
    std::vector<std::int64_t> bytes{4, 4, 4};
    const std::vector<std::int64_t> offsets{0, 10, 20};
    std::vector<std::int64_t> receive = bytes;
    if (world.rank() == 2) receive[1] = 5;
    std::vector<std::byte> into(64);
    world.all_to_all_v(data, into, {bytes, offsets, receive, offsets});
  });
  EXPECT_THAT(text, HasSubstr("rank 1 sends 4 bytes, rank 2 expects 5"));
}

TEST(LocalMismatch, RankThatReturnedEarly) {
  const std::string text = peer_error_of(3, [](Communicator& world) {
    if (world.rank() != 2) world.barrier();
  });
  EXPECT_THAT(text, HasSubstr("rank 0 waits in barrier #0"));
  EXPECT_THAT(text, HasSubstr("rank 2 has returned"));
}

TEST(LocalMismatch, GroupsEnteredInAnotherOrder) {
  const std::string text = peer_error_of(2, [](Communicator& world) {
    const auto group = world.split(0, 0, "part");
    if (world.rank() == 0) {
      group->barrier();
    } else {
      world.barrier();
    }
  });
  EXPECT_THAT(text, HasSubstr("rank 0 waits in barrier #0 (0 bytes) of part"));
  EXPECT_THAT(text, HasSubstr("rank 1 waits in barrier #1 (0 bytes) of world"));
}

TEST(LocalFailure, FirstCauseIsRethrownAndPeersAreTold) {
  for (int failing = 0; failing < 4; ++failing) {
    std::atomic<int> told = 0;
    const auto body = [&](Communicator& world) {
      world.barrier();
      if (world.rank() == failing) throw DataError("shard 7 is damaged");
      try {
        for (;;) world.barrier();
      } catch (const PeerError& error) {
        EXPECT_THAT(error.what(), HasSubstr("shard 7 is damaged"));
        ++told;
        throw;
      }
    };
    EXPECT_THROW(run_local(4, body), DataError);
    EXPECT_EQ(told, 3);
  }
}

TEST(LocalFailure, CauseIsRethrownWhereARankThatHeardOfItOtherwiseEndsBefore) {
  const auto body = [](Communicator& world) {
    if (world.rank() == 0) throw PeerError("told by another channel");
    try {
      world.barrier();
    } catch (const PeerError&) {  // rank 0 has ended
      if (world.rank() == 1) throw DataError("the cause");
      throw;
    }
  };
  for (int turn = 0; turn < 20; ++turn) EXPECT_THROW(run_local(3, body), DataError);
}

TEST(LocalFailure, WhileAnExchangeIsUnderWay) {
  const auto body = [](Communicator& world) {
    std::vector<std::int64_t> in(3000, 1);
    std::vector<std::int64_t> out(1000);
    const std::vector<std::int64_t> counts(3, 1000);
    const auto pending = world.start_reduce_scatter(in, out, counts);
    if (world.rank() == 1) throw DataError("lost");
    pending->wait();
    world.barrier();
  };
  for (int turn = 0; turn < 50; ++turn) EXPECT_THROW(run_local(3, body), Error);
}

TEST(LocalFailure, HandleNeverWaitedFor) {
  EXPECT_THAT(peer_error_of(2,
                            [](Communicator& world) {
                              std::vector<std::int64_t> in(2, 1);
                              std::vector<std::int64_t> out(1);
                              const std::vector<std::int64_t> counts(2, 1);
                              auto pending = world.start_reduce_scatter(in, out, counts);
                              if (world.rank() == 0) {
                                pending.reset();
                              } else {
                                pending->wait();
                              }
                              world.barrier();
                            }),
              HasSubstr("gave up reduce_scatter #0"));
}

TEST(SingleRank, RunsEveryCase) {
  const auto world = single_rank();
  for (const ConformanceCase& each : conformance_cases()) each.run(*world);
}

}  // namespace

}  // namespace switchyard::parallel

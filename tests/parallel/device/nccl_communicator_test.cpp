#include "parallel/communicators/device/nccl/nccl_communicator.h"

#include <gmock/gmock.h>

#include <numeric>

#include "kernels/runtime/error.h"
#include "parallel/communicators/local.h"
#include "tests/parallel/device/scripted_nccl.h"

namespace switchyard::test {
namespace {

using parallel::Communicator;
using testing::ElementsAre;

// One array stands for device memory.
alignas(64) std::byte device_memory[4096];

struct Rig {
  std::vector<std::shared_ptr<Script>> scripts = std::vector<std::shared_ptr<Script>>(3);
  void run(const std::function<void(Communicator&, Script&)>& body) {
    ScriptedCalls::origin = device_memory;
    for (auto& script : scripts) script = std::make_shared<Script>();
    parallel::run_local(3, [&](Communicator& world) {
      auto& script = scripts[static_cast<std::size_t>(world.rank())];
      const auto communicator = parallel::make_nccl_communicator(
          world.split(0, world.rank(), "experts"),
          {[&script] { return std::make_unique<ScriptedCalls>(script); }, [] {}, {}, {}});
      script->log.clear();
      body(*communicator, *script);
    });
  }
};

std::span<std::byte> device_bytes(std::size_t begin, std::size_t count) {
  return {device_memory + begin, count};
}
std::span<std::int64_t> device_words(std::size_t begin, std::size_t count) {
  return {reinterpret_cast<std::int64_t*>(device_memory) + begin, count};
}

TEST(NcclCommunicator, ExchangesPiecesWithEveryPeerBeginningWithTheNextRank) {
  Rig rig;
  rig.run([](Communicator& communicator, Script&) {
    // Rank r sends 10 * (r + 1) + p bytes to rank p; pieces lie apart, and nothing goes from 2 to 0.
    std::vector<std::int64_t> send, send_at, receive, receive_at;
    for (int p = 0; p < 3; ++p) {
      const auto bytes = [](int from, int to) { return from == 2 && to == 0 ? 0 : 10 * (from + 1) + to; };
      send.push_back(bytes(communicator.rank(), p));
      receive.push_back(bytes(p, communicator.rank()));
      send_at.push_back(100 * p);
      receive_at.push_back(100 * p + 50);
    }
    communicator.all_to_all_v(device_bytes(0, 400), device_bytes(1000, 400),
                              {send, send_at, receive, receive_at}, Device::cuda);
  });
  EXPECT_THAT(rig.scripts[1]->log,
              ElementsAre("follow", "begin", "send 22 at 200 peer 2", "receive 31 at 1250 peer 2",
                          "send 20 at 0 peer 0", "receive 11 at 1050 peer 0", "send 21 at 100 peer 1",
                          "receive 21 at 1150 peer 1", "end", "mark", "finish", "release"));
  EXPECT_THAT(rig.scripts[2]->log,
              ElementsAre("follow", "begin", "receive 12 at 1050 peer 0", "send 31 at 100 peer 1",
                          "receive 22 at 1150 peer 1", "send 32 at 200 peer 2", "receive 32 at 1250 peer 2",
                          "end", "mark", "finish", "release"));
}

TEST(NcclCommunicator, ReducesUnevenPiecesToTheirOwners) {
  Rig rig;
  rig.run([](Communicator& communicator, Script&) {
    const std::vector<std::int64_t> counts = {4, 0, 6};
    const auto own = static_cast<std::size_t>(counts[static_cast<std::size_t>(communicator.rank())]);
    communicator.reduce_scatter(device_words(0, 10), device_words(100, own), counts, Device::cuda);
  });
  EXPECT_THAT(rig.scripts[0]->log, ElementsAre("follow", "begin", "reduce 4 at 0 peer 0 to 800",
                                               "reduce 6 at 32 peer 2", "end", "mark", "finish", "release"));
  EXPECT_THAT(rig.scripts[2]->log,
              ElementsAre("follow", "begin", "reduce 4 at 0 peer 0", "reduce 6 at 32 peer 2 to 800", "end",
                          "mark", "finish", "release"));
}

TEST(NcclCommunicator, GathersPiecesInPlaceOrNot) {
  Rig rig;
  rig.run([](Communicator& communicator, Script&) {
    const std::vector<std::int64_t> sizes = {8, 0, 16};
    const auto own = static_cast<std::size_t>(sizes[static_cast<std::size_t>(communicator.rank())]);
    const std::size_t begin = communicator.rank() == 0 ? 2000 : 8;  // rank 2: its place in the result
    communicator.all_gather_v(device_bytes(begin, own), device_bytes(0, 24), sizes, Device::cuda);
  });
  EXPECT_THAT(rig.scripts[0]->log,
              ElementsAre("follow", "begin", "broadcast 8 at 2000 peer 0 to 0", "broadcast 16 at 8 peer 2",
                          "end", "mark", "finish", "release"));
  EXPECT_THAT(rig.scripts[2]->log,
              ElementsAre("follow", "begin", "broadcast 8 at 0 peer 0", "broadcast 16 at 8 peer 2", "end",
                          "mark", "finish", "release"));
}

TEST(NcclCommunicator, HostMemoryAndControlGoThroughTheHost) {
  Rig rig;
  rig.run([](Communicator& communicator, Script&) {
    std::vector<std::int64_t> values = {communicator.rank(), 5};
    communicator.barrier();
    communicator.all_reduce_sum(values);
    EXPECT_THAT(values, ElementsAre(3, 15));
    const std::byte mine{static_cast<unsigned char>(communicator.rank())};
    std::vector<std::byte> all(3);
    communicator.all_gather({&mine, 1}, all);
    EXPECT_THAT(all, ElementsAre(std::byte{0}, std::byte{1}, std::byte{2}));
    std::int64_t sum = 0;
    communicator.reduce_scatter(std::vector<std::int64_t>{1, 2, 3}, {&sum, 1},
                                std::vector<std::int64_t>{1, 1, 1});
    EXPECT_EQ(sum, 3 * (communicator.rank() + 1));
    EXPECT_EQ(communicator.traffic(parallel::Collective::all_reduce).calls, 1);
  });
  for (const auto& script : rig.scripts) EXPECT_THAT(script->log, ElementsAre("finish", "release"));
}

TEST(NcclCommunicator, SplitsMakeGroupsOfTheirOwn) {
  Rig rig;
  rig.run([](Communicator& communicator, Script& script) {
    const auto part = communicator.split(communicator.rank() == 2 ? 1 : 0, communicator.rank(), "replicas");
    EXPECT_EQ(part->name(), "replicas");
    if (communicator.rank() == 2) {
      EXPECT_TRUE(script.log.empty());  // alone: no NCCL
    } else {
      EXPECT_THAT(script.log.back(), "start " + std::to_string(part->rank()) + "/2 id 7");
    }
  });
}

TEST(NcclCommunicator, AnIdThatCannotBeMadeFailsOnAllRanks) {
  EXPECT_THROW(
      parallel::run_local(2,
                          [](Communicator& world) {
                            auto script = std::make_shared<Script>();
                            script->answers["make_id"] = {NcclStatus::failed};
                            EXPECT_THROW(
                                parallel::make_nccl_communicator(
                                    world.split(0, world.rank(), "group"),
                                    {[&] { return std::make_unique<ScriptedCalls>(script); }, [] {}, {}, {}}),
                                PeerError);
                            throw PeerError("seen");
                          }),
      PeerError);
}

TEST(NcclCommunicator, AnExchangeThatIsNotWaitedForAborts) {
  Rig rig;
  rig.run([](Communicator& communicator, Script&) {
    const std::vector<std::int64_t> counts = {1, 1, 1};
    communicator.start_reduce_scatter(device_words(0, 3), device_words(8, 1), counts, Device::cuda).reset();
  });
  for (const auto& script : rig.scripts) EXPECT_EQ(script->log.back(), "abort");
}

}  // namespace
}  // namespace switchyard::test

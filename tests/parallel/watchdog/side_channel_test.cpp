// Hosts that are only pretended: threads as ranks, each with a board of its own.
#include "parallel/watchdog/hosts/side_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <thread>

#include "parallel/communicators/local.h"

namespace switchyard::parallel {
namespace {

std::unique_ptr<Board> private_board(std::int64_t ranks) {
  std::string name;
  auto board = Board::make(ranks, 1, name);
  Board::unlink(name);
  return board;
}

template <typename Holds>
bool eventually(SideChannel& channel, Holds holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds() && std::chrono::steady_clock::now() < end) {
    channel.exchange(true);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return holds();
}

TEST(SideChannel, BringsEveryRanksStatusToEveryHost) {
  constexpr std::int64_t kRanks = 3;
  run_local(kRanks, [](Communicator& world) {
    const auto board = private_board(kRanks);
    std::string failure;
    const auto channel = SideChannel::connect(world, *board, {0, 1, 2}, true, failure);
    ASSERT_EQ(failure, "");
    ASSERT_NE(channel, nullptr);
    RankStatus& own = board->status(world.rank());
    own.beats.store(100 + static_cast<std::uint64_t>(world.rank()));
    own.steps[5].busy_ns.store(7);
    own.steps[5].step.store(5);
    Event event;
    event.sequence = 1 + world.rank();
    event.place.step = 17;
    own.current.write(event);
    EXPECT_TRUE(eventually(*channel, [&] {
      for (std::int64_t rank = 0; rank < kRanks; ++rank) {
        Event read;
        const RankStatus& status = board->status(rank);
        if (status.beats.load() != 100 + static_cast<std::uint64_t>(rank) ||
            status.steps[5].step.load() != 5 || !status.current.read(read) || read.sequence != 1 + rank ||
            read.place.step != 17)
          return false;
      }
      return true;
    }));
    channel->flush();
    world.barrier();  // nobody closes before all have heard
  });
}

TEST(SideChannel, CarriesAVerdictAndSeesALinkThatBreaks) {
  run_local(3, [](Communicator& world) {
    const auto board = private_board(3);
    std::string failure;
    auto channel = SideChannel::connect(world, *board, {0, 1, 2}, true, failure);
    ASSERT_NE(channel, nullptr) << failure;
    if (world.rank() == 1) claim_verdict(board->verdict(), Fate::hung, 2, 7, "it sleeps");
    EXPECT_TRUE(eventually(*channel, [&] { return board->verdict().fate.load() != 0; }));
    EXPECT_EQ(board->verdict().rank.load(), 2);
    EXPECT_EQ(board->verdict().exit_code.load(), 7);
    EXPECT_EQ(verdict_reason(board->verdict()), "it sleeps");
    channel->flush();
    world.barrier();
    if (world.rank() == 1) {
      channel.reset();
    } else {
      EXPECT_TRUE(eventually(*channel,
                             [&] { return static_cast<Life>(board->status(1).life.load()) == Life::gone; }));
      channel->flush();
    }
    world.barrier();
  });
}

TEST(SideChannel, OnlyTheFirstOfAHostSpeaks) {
  run_local(3, [](Communicator& world) {
    const auto board = private_board(3);
    std::string failure;
    const auto channel = SideChannel::connect(world, *board, {0, 0, 2}, true, failure);
    EXPECT_EQ(failure, "");
    EXPECT_EQ(channel == nullptr, world.rank() == 1);
    world.barrier();
  });
}

}  // namespace
}  // namespace switchyard::parallel

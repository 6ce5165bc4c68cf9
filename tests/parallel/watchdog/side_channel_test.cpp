// Hosts that are only pretended: threads as ranks, each with a board of its own.
#include "parallel/watchdog/hosts/side_channel.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>

#include "parallel/communicators/local.h"
#include "parallel/watchdog/hosts/meeting.h"

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

/// A frame as it travels: a head, then records of ranks.
struct Head {
  std::uint32_t magic = 0x53594348, ranks = 0;
  std::uint64_t fate = 0;
  std::int64_t culprit = -1, exit_code = 0;
  std::array<char, 512> reason{};
};
struct Record {
  std::int64_t rank = 0;
  std::uint64_t life = 0;
  std::int64_t exit_code = 0, end_signal = 0;
  std::uint64_t beats = 0, activity = 0;
  Event current;
  std::array<std::int64_t, 2 * RankStatus::kStepTimes> steps{};
};

void put(int socket, const Head& head, const std::vector<Record>& records = {}) {
  std::vector<std::byte> bytes(sizeof(Head) + records.size() * sizeof(Record));
  std::memcpy(bytes.data(), &head, sizeof(head));
  if (!records.empty())
    std::memcpy(bytes.data() + sizeof(head), records.data(), records.size() * sizeof(Record));
  // In two pieces, the second a moment later: frames do not come whole.
  const std::size_t cut = records.empty() ? 100 : sizeof(Head) + 100;
  for (const auto& [at, size] : {std::pair<std::size_t, std::size_t>{0, cut}, {cut, bytes.size() - cut}}) {
    ASSERT_EQ(::send(socket, bytes.data() + at, size, MSG_NOSIGNAL), static_cast<ssize_t>(size));
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
}

/// Rank 0 of three on three hosts, and what it makes of what a peer sends it in place of frames of its own.
void hear(const std::function<void(int socket)>& peer,
          const std::function<void(SideChannel& channel, const Board& board)>& rank_0) {
  run_local(3, [&](Communicator& world) {
    std::string failure;
    if (world.rank() == 0) {
      const auto board = private_board(3);
      const auto channel = SideChannel::connect(world, *board, {0, 1, 2}, true, failure);
      ASSERT_NE(channel, nullptr) << failure;
      rank_0(*channel, *board);
      world.barrier();
      return;
    }
    const std::vector<Met> met = meet(world, {1, 2}, true, true, failure);
    ASSERT_EQ(met.size(), 1U) << failure;
    if (world.rank() == 1) peer(met[0].socket);
    world.barrier();
    ::close(met[0].socket);
  });
}

Life life_of(const Board& board, std::int64_t rank) {
  return static_cast<Life>(board.status(rank).life.load());
}

TEST(SideChannel, AHostSpeaksForItsOwnRanksOnly) {
  std::vector<Record> records(5);
  const std::array<std::int64_t, 5> ranks = {1, 0, 2, 3, -1};
  for (std::size_t i = 0; i < records.size(); ++i) {
    records[i].rank = ranks[i];
    records[i].beats = 77;
    records[i].life = 1000;  // no such life
  }
  records.resize(3);  // as many as there are ranks
  const auto hears = [](SideChannel& channel, const Board& board) {
    EXPECT_TRUE(eventually(channel, [&] { return board.status(1).beats.load() == 77; }));
    EXPECT_EQ(life_of(board, 1), Life::gone) << "the last one there is";
    EXPECT_EQ(board.status(0).beats.load(), 0U);
    EXPECT_EQ(board.status(2).beats.load(), 0U);
    EXPECT_EQ(life_of(board, 2), Life::runs);
  };
  hear([&](int socket) { put(socket, {.ranks = 3}, records); }, hears);
  records[1].rank = 3;
  records[2].rank = -1;
  hear([&](int socket) { put(socket, {.ranks = 3}, records); }, hears);
}

TEST(SideChannel, AStrangersFrameEndsTheLink) {
  for (const Head& head : {Head{.magic = 0x12345678}, Head{.ranks = 4}, Head{.ranks = 0xffffffff}})
    hear([&](int socket) { put(socket, head); },
         [](SideChannel& channel, const Board& board) {
           EXPECT_TRUE(eventually(channel, [&] { return life_of(board, 1) == Life::gone; }));
           EXPECT_EQ(life_of(board, 2), Life::runs) << "the other host's link stays";
           EXPECT_EQ(board.verdict().fate.load(), 0U);
         });
}

TEST(SideChannel, ALinkThatIsResetIsLost) {
  hear(
      [](int socket) {
        const linger at_once{1, 0};
        ASSERT_EQ(::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
        const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ::dup2(null, socket);  // closes it
        ::close(null);
      },
      [](SideChannel& channel, const Board& board) {
        EXPECT_TRUE(eventually(channel, [&] { return life_of(board, 1) == Life::gone; }));
      });
}

TEST(SideChannel, IsNoneWhereRankZeroOffersNothing) {
  run_local(2, [](Communicator& world) {
    if (world.rank() == 0) {
      std::array<std::byte, 16 + 8 + 8 * 16> nothing{};  // no address
      world.broadcast(nothing, 0);
      EXPECT_TRUE(world.all_reduce_or(false));
      return;
    }
    const auto board = private_board(2);
    std::string failure;
    EXPECT_EQ(SideChannel::connect(world, *board, {0, 1}, true, failure), nullptr);
    EXPECT_THAT(failure, testing::HasSubstr("must reach an address of rank 0"));
  });
}

TEST(SideChannel, AVerdictOnNobodyIsNone) {
  Head whole{.fate = 1, .culprit = 2, .exit_code = 7};
  whole.reason.fill('x');  // and no end
  hear(
      [&](int socket) {
        for (Head none :
             {Head{.fate = 3, .culprit = 2}, Head{.fate = 1, .culprit = -1}, Head{.fate = 1, .culprit = 3}})
          put(socket, none);
        Record record;
        record.rank = 1;
        record.beats = 5;
        put(socket, {.ranks = 1}, {record});
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        put(socket, whole);
      },
      [](SideChannel& channel, const Board& board) {
        EXPECT_TRUE(eventually(channel, [&] { return board.status(1).beats.load() == 5; }));
        EXPECT_EQ(board.verdict().fate.load(), 0U);
        EXPECT_TRUE(eventually(channel, [&] { return board.verdict().fate.load() == 1; }));
        EXPECT_EQ(board.verdict().rank.load(), 2);
        EXPECT_EQ(verdict_reason(board.verdict()), std::string(511, 'x'));
      });
}

TEST(SideChannel, APeerThatDoesNotReadIsWaitedForByNobody) {
  hear(
      [](int socket) {
        char byte = 0;
        const int little = 1;
        ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
        while (::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
      },
      [](SideChannel& channel, const Board& board) {
        const auto begin = std::chrono::steady_clock::now();
        for (int i = 0; i < 20'000; ++i) channel.exchange(true);  // far more than a socket holds
        EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
        EXPECT_EQ(life_of(board, 1), Life::runs);
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

// Who knocks at rank 0's door, and who is let in.
#include "parallel/watchdog/hosts/meeting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "parallel/communicators/local.h"

namespace switchyard::parallel {
namespace {

using Milliseconds = std::chrono::milliseconds;

/// What rank 0 broadcasts: a token, a number of addresses, the addresses.
struct Offer {
  std::array<char, 16> token{};
  std::uint64_t count = 0;
  std::array<sockaddr_in, 8> addresses{};
};
struct Hello {
  std::array<char, 16> token{};
  std::int64_t rank = 0;
};

Offer hear(Communicator& world) {
  Offer offer;
  world.broadcast(std::as_writable_bytes(std::span(&offer, 1)), 0);
  return offer;
}

/// Knocks at every address that is offered until one answers with what was sent; true if one does.
bool is_let_in(const Offer& offer, const Hello& hello, std::size_t bytes = sizeof(Hello)) {
  for (std::uint64_t i = 0; i < offer.count; ++i) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Hello answer;
    const bool is_heard =
        ::connect(socket, reinterpret_cast<const sockaddr*>(&offer.addresses[i]), sizeof(sockaddr_in)) == 0 &&
        ::send(socket, &hello, bytes, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes) &&
        ::shutdown(socket, SHUT_WR) == 0 &&
        ::recv(socket, &answer, sizeof(answer), MSG_WAITALL) == sizeof(answer);
    ::close(socket);
    if (is_heard) return std::memcmp(&answer, &hello, sizeof(hello)) == 0;
  }
  return false;
}

void close_all(const std::vector<Met>& met) {
  for (const Met& one : met) ::close(one.socket);
}

TEST(Meeting, LetsInWhoKnowsTheTokenAndIsExpectedAndNobodyElse) {
  run_local(2, [](Communicator& world) {
    std::string failure;
    if (world.rank() == 0) {
      const std::vector<Met> met = meet(world, {1}, true, true, failure);
      EXPECT_EQ(failure, "");
      ASSERT_EQ(met.size(), 1U);
      EXPECT_EQ(met[0].peer, 1);
      close_all(met);
      return;
    }
    const Offer offer = hear(world);
    ASSERT_GT(offer.count, 0U);
    Hello stranger{offer.token, 1};
    stranger.token[3] ^= 1;
    EXPECT_FALSE(is_let_in(offer, stranger));
    EXPECT_FALSE(is_let_in(offer, {offer.token, 2})) << "a rank that is not the first of a host";
    EXPECT_FALSE(is_let_in(offer, {offer.token, 1}, 20)) << "half a hello";
    EXPECT_TRUE(is_let_in(offer, {offer.token, 1}));
    EXPECT_FALSE(world.all_reduce_or(false));
  });
}

TEST(Meeting, FailsOnAllRanksWhenOneDoesNotCome) {
  run_local(3, [](Communicator& world) {
    std::string failure;
    std::vector<Met> met;
    if (world.rank() == 2) {
      hear(world);
      EXPECT_TRUE(world.all_reduce_or(true));
      return;
    }
    met = meet(world, {1, 2}, true, true, failure, Milliseconds(600));
    EXPECT_TRUE(met.empty());
    EXPECT_EQ(failure, "the hosts must reach an address of rank 0 over TCP; within 0.6 s not all did");
  });
}

TEST(Meeting, FailsWhereTheOfferLeadsNowhere) {
  run_local(2, [](Communicator& world) {
    std::string failure;
    if (world.rank() == 1) {
      EXPECT_TRUE(meet(world, {1}, true, true, failure, Milliseconds(600)).empty());
      EXPECT_THAT(failure, testing::HasSubstr("must reach an address of rank 0"));
      return;
    }
    // An address where nobody listens any more, one that hangs up, one with another token, one for another
    // rank.
    Offer offer;
    std::array<int, 4> sockets{};
    for (int& socket : sockets) {
      sockaddr_in& address = offer.addresses[offer.count++];
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof(address);
      socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
      ASSERT_EQ(::listen(socket, 4), 0);
      ASSERT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
    }
    ::close(sockets[0]);
    world.broadcast(std::as_writable_bytes(std::span(&offer, 1)), 0);
    for (const std::size_t i : {1, 2, 3}) {
      const int guest = ::accept(sockets[i], nullptr, nullptr);
      Hello hello;
      EXPECT_EQ(::recv(guest, &hello, sizeof(hello), MSG_WAITALL), static_cast<ssize_t>(sizeof(hello)));
      if (i == 2) hello.token[0] ^= 1;
      if (i == 3) ++hello.rank;
      if (i != 1) ::send(guest, &hello, sizeof(hello), MSG_NOSIGNAL);
      ::close(guest);
      ::close(sockets[i]);
    }
    EXPECT_TRUE(world.all_reduce_or(true));
  });
}

TEST(Meeting, FailsWhereNoSocketCanBeHad) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need descriptors of their own";
#endif
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int free = ::dup(STDERR_FILENO);  // the next number to be had
  ::close(free);
  for (const int more : {0, 1}) {
    rlimit few = before;
    few.rlim_cur = static_cast<rlim_t>(free + more);
    std::string message;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    run_local(2, [&](Communicator& world) {
      std::string failure;
      meet(world, {1}, true, true, failure, Milliseconds(100));
      if (world.rank() == 0) message = failure;
    });
    ::setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_THAT(message, testing::HasSubstr("must reach an address of rank 0 over TCP")) << more;
  }
}

TEST(Meeting, OnlyRealNetworksAreOfferedToRealHosts) {
  run_local(2, [](Communicator& world) {
    std::string failure;
    if (world.rank() == 0) {
      EXPECT_TRUE(meet(world, {1}, true, false, failure, Milliseconds(50)).empty());
      return;
    }
    const Offer offer = hear(world);
    for (std::uint64_t i = 0; i < offer.count; ++i)
      EXPECT_NE(ntohl(offer.addresses[i].sin_addr.s_addr) >> 24, 127U);
    EXPECT_TRUE(world.all_reduce_or(false));
  });
}

}  // namespace
}  // namespace switchyard::parallel

#include "parallel/watchdog/hosts/meeting.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

namespace switchyard::parallel {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostAddresses = 8;
constexpr std::chrono::milliseconds kEach(2000);

using Token = std::array<std::uint8_t, 16>;

struct Offer {
  Token token{};
  std::uint64_t count = 0;
  std::array<sockaddr_in, kMostAddresses> addresses{};
};

struct Hello {
  Token token{};
  std::int64_t rank = 0;
};

void set_patience(int socket, std::chrono::milliseconds patience) {
  const timeval time{patience.count() / 1000, static_cast<suseconds_t>(patience.count() % 1000 * 1000)};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
  const int yes = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

template <typename T>
bool send_all(int socket, const T& value) {
  return ::send(socket, &value, sizeof(value), MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof(value));
}
template <typename T>
bool receive_all(int socket, T& value) {
  return ::recv(socket, &value, sizeof(value), MSG_WAITALL) == static_cast<ssize_t>(sizeof(value));
}

std::vector<sockaddr_in> own_addresses(bool over_loopback) {
  std::vector<sockaddr_in> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  for (const ifaddrs* one = list; one != nullptr && found.size() < kMostAddresses; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET || (one->ifa_flags & IFF_UP) == 0)
      continue;
    if ((one->ifa_flags & IFF_LOOPBACK) != 0 && !over_loopback) continue;
    sockaddr_in address{};
    std::memcpy(&address, one->ifa_addr, sizeof(address));
    found.push_back(address);
  }
  ::freeifaddrs(list);
  return found;
}

// A listening socket on any port of the address, which is completed; -1 if there is none.
int listen_on(sockaddr_in& address) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return -1;
  address.sin_port = 0;
  socklen_t size = sizeof(address);
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  if (::bind(socket, plain, sizeof(address)) == 0 && ::listen(socket, SOMAXCONN) == 0 &&
      ::getsockname(socket, plain, &size) == 0)
    return socket;
  ::close(socket);
  return -1;
}

struct Listeners {
  std::vector<pollfd> sockets;
  ~Listeners() {
    for (const pollfd& one : sockets) ::close(one.fd);
  }
};

// Everybody may knock; who does not know the token is sent away.
std::vector<Met> await(const Listeners& listeners, const Token& token, std::vector<std::int64_t> missing,
                       std::chrono::milliseconds together) {
  std::vector<Met> met;
  std::vector<pollfd> sockets = listeners.sockets;
  const auto end = Clock::now() + together;
  while (!missing.empty() && !sockets.empty()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0 || ::poll(sockets.data(), sockets.size(), static_cast<int>(left)) < 0) break;
    for (const pollfd& one : sockets) {
      if ((one.revents & POLLIN) == 0) continue;
      const int socket = ::accept4(one.fd, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket < 0) continue;
      set_patience(socket, kEach);
      Hello hello;
      const bool heard = receive_all(socket, hello) && hello.token == token;
      const auto expected = std::ranges::find(missing, hello.rank);
      if (heard && expected != missing.end() && send_all(socket, hello)) {
        met.push_back({hello.rank, socket});
        missing.erase(expected);
      } else {
        ::close(socket);
      }
    }
  }
  return met;
}

// Connects within the patience of one attempt; -1 if not.
int connect_to(const sockaddr_in& address, const Hello& hello, std::chrono::milliseconds together) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return -1;
  set_patience(socket, kEach);  // also bounds connect()
  Hello answer;
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
      send_all(socket, hello)) {
    set_patience(socket, together);  // rank 0 answers in the order of its guests
    if (receive_all(socket, answer) && answer.token == hello.token && answer.rank == hello.rank)
      return socket;
  }
  ::close(socket);
  return -1;
}

}  // namespace

std::vector<Met> meet(Communicator& world, const std::vector<std::int64_t>& firsts, bool is_first,
                      bool over_loopback, std::string& failure, std::chrono::milliseconds together) {
  Offer offer;
  Listeners listeners;
  if (world.rank() == 0) {
    if (::getrandom(offer.token.data(), offer.token.size(), 0) == static_cast<ssize_t>(offer.token.size())) {
      for (sockaddr_in address : own_addresses(over_loopback)) {
        const int socket = listen_on(address);
        if (socket < 0) continue;
        listeners.sockets.push_back({socket, POLLIN, 0});
        offer.addresses[offer.count++] = address;
      }
    }
  }
  world.broadcast(std::as_writable_bytes(std::span(&offer, 1)), 0);
  std::vector<Met> met;
  bool failed = false;
  if (world.rank() == 0) {
    met = await(listeners, offer.token, firsts, together);
    failed = met.size() != firsts.size();
  } else if (is_first) {
    int socket = -1;
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(offer.count, kMostAddresses) && socket < 0; ++i)
      socket = connect_to(offer.addresses[i], {offer.token, world.rank()}, together);
    failed = socket < 0;
    if (!failed) met.push_back({0, socket});
  }
  if (!world.all_reduce_or(failed)) return met;
  for (const Met& one : met) ::close(one.socket);
  failure = fmt::format("the hosts must reach an address of rank 0 over TCP; within {} s not all did",
                        static_cast<double>(together.count()) / 1000);
  return {};
}

}  // namespace switchyard::parallel

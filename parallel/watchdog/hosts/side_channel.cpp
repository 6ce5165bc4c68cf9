#include "parallel/watchdog/hosts/side_channel.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "parallel/watchdog/hosts/meeting.h"

namespace switchyard::parallel {

namespace {

constexpr std::uint32_t kMagic = 0x53594348;

struct WireStep {
  std::int64_t step = 0;
  std::int64_t busy_ns = 0;
};

// One rank as it travels. All hosts of a run are of one kind; the first frame of another is refused by its
// magic.
struct WireRank {
  std::int64_t rank = 0;
  std::uint64_t life = 0;
  std::int64_t exit_code = 0;
  std::int64_t end_signal = 0;
  std::uint64_t beats = 0;
  std::uint64_t activity = 0;
  Event current;
  std::array<WireStep, RankStatus::kStepTimes> steps;
};

struct WireHead {
  std::uint32_t magic = kMagic;
  std::uint32_t ranks = 0;  ///< records that follow
  std::uint64_t fate = 0;   ///< the sender's verdict
  std::int64_t culprit = -1;
  std::int64_t exit_code = 0;
  std::array<char, 512> reason{};
};
static_assert(std::is_trivially_copyable_v<WireRank> && std::is_trivially_copyable_v<WireHead>);

WireRank wire_of(const RankStatus& status, std::int64_t rank) {
  WireRank wire;
  wire.rank = rank;
  wire.life = status.life.load();
  wire.exit_code = status.exit_code.load();
  wire.end_signal = status.end_signal.load();
  wire.beats = status.beats.load();
  wire.activity = status.activity.load();
  for (int tries = 0; tries < 8 && !status.current.read(wire.current); ++tries) {
  }
  for (std::size_t i = 0; i < wire.steps.size(); ++i)
    wire.steps[i] = {status.steps[i].step.load(std::memory_order_acquire), status.steps[i].busy_ns.load()};
  return wire;
}

void write_to(RankStatus& status, const WireRank& wire) {
  for (std::size_t i = 0; i < wire.steps.size(); ++i) {
    status.steps[i].busy_ns.store(wire.steps[i].busy_ns, std::memory_order_relaxed);
    status.steps[i].step.store(wire.steps[i].step, std::memory_order_release);
  }
  if (wire.current.sequence > 0) status.current.write(wire.current);
  status.exit_code.store(wire.exit_code);
  status.end_signal.store(wire.end_signal);
  status.activity.store(wire.activity);
  status.beats.store(wire.beats);
  status.life.store(std::min<std::uint64_t>(wire.life, static_cast<std::uint64_t>(Life::gone)));
}

}  // namespace

struct SideChannel::Link {
  std::int64_t peer = 0;  ///< first rank of the host at the other end
  int socket = -1;
  std::vector<std::byte> out, in;
  std::size_t sent = 0;
};

SideChannel::SideChannel(const Board& board, std::vector<std::int64_t> hosts, std::int64_t rank)
    : board_(board), hosts_(std::move(hosts)), rank_(rank) {}

SideChannel::~SideChannel() {
  for (const auto& link : links_)
    if (link->socket >= 0) ::close(link->socket);
}

std::unique_ptr<SideChannel> SideChannel::connect(Communicator& world, const Board& board,
                                                  std::vector<std::int64_t> hosts, bool over_loopback,
                                                  std::string& failure) {
  const std::int64_t rank = world.rank();
  std::vector<std::int64_t> firsts;
  for (std::size_t r = 1; r < hosts.size(); ++r)
    if (hosts[r] == static_cast<std::int64_t>(r)) firsts.push_back(hosts[r]);
  const bool is_first = hosts[static_cast<std::size_t>(rank)] == rank;
  const std::vector<Met> met = meet(world, firsts, is_first, over_loopback, failure);
  std::unique_ptr<SideChannel> channel;
  if (failure.empty() && is_first) {
    channel.reset(new SideChannel(board, std::move(hosts), rank));
    for (const Met& one : met) {
      channel->links_.push_back(std::make_unique<Link>());
      channel->links_.back()->peer = one.peer;
      channel->links_.back()->socket = one.socket;
    }
  }
  return channel;
}

// What this end tells the other: its own host's ranks; rank 0 also those of all hosts but the other's.
bool SideChannel::knows_better(const Link& link, std::int64_t rank) const {
  const std::int64_t host = hosts_[static_cast<std::size_t>(rank)];
  return rank_ == 0 ? host != link.peer : host == rank_;
}

void SideChannel::fill(Link& link) const {
  WireHead head;
  std::vector<WireRank> ranks;
  for (std::int64_t rank = 0; rank < board_.ranks(); ++rank)
    if (knows_better(link, rank)) ranks.push_back(wire_of(board_.status(rank), rank));
  head.ranks = static_cast<std::uint32_t>(ranks.size());
  const SharedVerdict& verdict = board_.verdict();
  head.fate = verdict.fate.load(std::memory_order_acquire);
  if (head.fate != 0) {
    head.culprit = verdict.rank.load();
    head.exit_code = verdict.exit_code.load();
    const std::string reason = verdict_reason(verdict);
    std::copy_n(reason.data(), std::min(reason.size(), head.reason.size() - 1), head.reason.data());
  }
  const auto head_bytes = std::as_bytes(std::span(&head, 1));
  const auto rank_bytes = std::as_bytes(std::span(ranks));
  link.out.assign(head_bytes.begin(), head_bytes.end());
  link.out.insert(link.out.end(), rank_bytes.begin(), rank_bytes.end());
  link.sent = 0;
}

void SideChannel::send(Link& link) const {
  while (link.sent < link.out.size()) {
    const ssize_t sent = ::send(link.socket, link.out.data() + link.sent, link.out.size() - link.sent,
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0) return;  // full, or broken: then receiving says so
    link.sent += static_cast<std::size_t>(sent);
  }
}

// The host's own ranks say what became of them; its first rank carried the link and is the one that is gone.
void SideChannel::lose(Link& link) {
  ::close(link.socket);
  link.socket = -1;
  RankStatus& peer = board_.status(link.peer);
  auto runs = static_cast<std::uint64_t>(Life::runs);
  peer.life.compare_exchange_strong(runs, static_cast<std::uint64_t>(Life::gone));
}

void SideChannel::receive(Link& link) {
  const std::size_t greatest = sizeof(WireHead) + static_cast<std::size_t>(board_.ranks()) * sizeof(WireRank);
  std::array<std::byte, 65536>
      bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init): written before it is read
  for (;;) {
    const ssize_t got = ::recv(link.socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return lose(link);
    link.in.insert(link.in.end(), bytes.begin(), bytes.begin() + got);
    while (link.in.size() >= sizeof(WireHead)) {
      WireHead head;
      std::memcpy(&head, link.in.data(), sizeof(head));
      const std::size_t size = sizeof(head) + head.ranks * sizeof(WireRank);
      if (head.magic != kMagic || size > greatest) return lose(link);
      if (link.in.size() < size) break;
      accept_frame(link, std::span(link.in).first(size));
      link.in.erase(link.in.begin(), link.in.begin() + static_cast<std::ptrdiff_t>(size));
    }
  }
}

void SideChannel::accept_frame(const Link& link, std::span<const std::byte> frame) {
  WireHead head;
  std::memcpy(&head, frame.data(), sizeof(head));
  for (std::uint32_t i = 0; i < head.ranks; ++i) {
    WireRank wire;
    std::memcpy(&wire, frame.data() + sizeof(head) + i * sizeof(wire), sizeof(wire));
    // A host speaks for its own ranks; rank 0 for all but ours.
    const bool is_known = wire.rank >= 0 && wire.rank < board_.ranks();
    const std::int64_t host = is_known ? hosts_[static_cast<std::size_t>(wire.rank)] : -1;
    if (is_known && (rank_ == 0 ? host == link.peer : host != rank_))
      write_to(board_.status(wire.rank), wire);
  }
  if (head.fate == 0 || head.fate > static_cast<std::uint64_t>(Fate::dead) || head.culprit < 0 ||
      head.culprit >= board_.ranks())
    return;
  head.reason.back() = '\0';
  claim_verdict(board_.verdict(), static_cast<Fate>(head.fate), head.culprit,
                static_cast<int>(head.exit_code), head.reason.data());
}

void SideChannel::exchange(bool sends) {
  for (const auto& link : links_) {
    if (link->socket < 0) continue;
    receive(*link);
    if (link->socket < 0) continue;
    // A frame that is still on its way is not overtaken.
    if (sends && link->sent == link->out.size()) fill(*link);
    send(*link);
  }
}

void SideChannel::flush() {
  constexpr int kTries = 20;
  for (int i = 0; i < kTries; ++i) {
    exchange(i == 0 || i == kTries / 2);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace switchyard::parallel

// The board across hosts: the first rank of each host tells rank 0 about its host's ranks, and hears from it
// about all others. TCP beside MPI; frames of fixed greatest size; nobody listens once all are connected.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "parallel/communicators/communicator.h"
#include "parallel/watchdog/record/board.h"

namespace switchyard::parallel {

class SideChannel {
 public:
  /// `hosts`: of each rank, the first rank on its host. Collective; every rank calls it. Returns nullptr on
  /// ranks that are not the first of their host, and on all ranks alike, with the reason, if some host cannot
  /// reach rank 0. `over_loopback`: also 127.0.0.1 is offered, for hosts that are only pretended.
  static std::unique_ptr<SideChannel> connect(Communicator& world, const Board& board,
                                              std::vector<std::int64_t> hosts, bool over_loopback,
                                              std::string& failure);
  ~SideChannel();
  SideChannel(const SideChannel&) = delete;
  SideChannel& operator=(const SideChannel&) = delete;

  /// Writes onto the board what came and, with `sends`, sends what is new of this side. Never blocks.
  void exchange(bool sends);
  /// Sends once more and waits a moment until it is on its way: before leaving.
  void flush();

 private:
  struct Link;
  SideChannel(const Board& board, std::vector<std::int64_t> hosts, std::int64_t rank);
  bool knows_better(const Link& link, std::int64_t rank) const;
  void fill(Link& link) const;
  void send(Link& link) const;
  void receive(Link& link);
  void accept_frame(const Link& link, std::span<const std::byte> frame);
  void lose(Link& link);

  const Board& board_;
  std::vector<std::int64_t> hosts_;
  std::int64_t rank_;
  std::vector<std::unique_ptr<Link>> links_;
};

}  // namespace switchyard::parallel

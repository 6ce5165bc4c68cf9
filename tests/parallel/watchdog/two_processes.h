// A group of two ranks that are processes joined by a socket: for what needs processes and no mpirun.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/runtime/error.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

/// What a watchdog's meeting needs: barrier, all_gather of equal pieces, all_reduce. The rest throws.
class TwoProcesses final : public Communicator {
 public:
  TwoProcesses(int rank, int socket) : Communicator(rank, 2, "world"), socket_(socket) {}

 protected:
  void do_barrier(const Call&) override {
    std::byte theirs{};
    swap({}, {&theirs, 0});
  }
  void do_all_gather(const Call&, std::span<const std::byte> mine, std::span<std::byte> all,
                     std::span<const std::int64_t>) override {
    const auto own = static_cast<std::size_t>(rank());
    std::ranges::copy(mine, all.subspan(own * mine.size()).begin());
    swap(mine, all.subspan((1 - own) * mine.size(), mine.size()));
  }
  void do_all_reduce(const Call&, std::span<std::int64_t> values, Reduction reduction) override {
    std::vector<std::int64_t> theirs(values.size());
    swap(std::as_bytes(values), std::as_writable_bytes(std::span(theirs)));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (reduction == Reduction::sum) values[i] += theirs[i];
      if (reduction == Reduction::max) values[i] = std::max(values[i], theirs[i]);
      if (reduction == Reduction::min) values[i] = std::min(values[i], theirs[i]);
    }
  }
  void do_broadcast(const Call&, std::span<std::byte>, int) override { refuse(); }
  std::unique_ptr<Pending> do_reduce_scatter(const Call&, std::span<const std::int64_t>,
                                             std::span<std::int64_t>,
                                             std::span<const std::int64_t>) override {
    refuse();
  }
  std::unique_ptr<Pending> do_all_to_all_v(const Call&, std::span<const std::byte>, std::span<std::byte>,
                                           const ExchangeSizes&) override {
    refuse();
  }
  std::unique_ptr<Communicator> do_split(const Call&, int, int, std::string) override { refuse(); }

 private:
  [[noreturn]] static void refuse() { throw InternalError("a group of two processes cannot do this"); }
  // One byte more, so that empty pieces wait for each other too. Pieces fit the socket's buffer.
  void swap(std::span<const std::byte> mine, std::span<std::byte> theirs) const {
    std::vector<std::byte> out(mine.begin(), mine.end()), in(theirs.size() + 1);
    out.emplace_back();
    const auto size = static_cast<ssize_t>(in.size());
    if (::send(socket_, out.data(), out.size(), MSG_NOSIGNAL) != size ||
        ::recv(socket_, in.data(), in.size(), MSG_WAITALL) != size)
      throw PeerError("the other process is gone");
    std::copy_n(in.begin(), theirs.size(), theirs.begin());
  }

  int socket_;
};

}  // namespace switchyard::parallel

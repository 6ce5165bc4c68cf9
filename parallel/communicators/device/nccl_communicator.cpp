#include "parallel/communicators/device/nccl_communicator.h"

#include <algorithm>

#include "kernels/runtime/check.h"

namespace switchyard::parallel {

namespace {

/// A started collective of the group. Left without wait() the group aborts at its end, and the peers see it.
class NcclPending final : public Pending {
 public:
  NcclPending(std::shared_ptr<NcclGroup> group, NcclGroup::Work work)
      : group_(std::move(group)), work_(work) {}
  void wait() override {
    if (waited_) return;
    group_->wait(work_);
    waited_ = true;
  }
  bool poll() override { return waited_ || group_->poll(work_); }

 private:
  std::shared_ptr<NcclGroup> group_;
  NcclGroup::Work work_;
  bool waited_ = false;
};

// The first status that is no success; later calls are not made.
template <typename Range, typename Issue>
NcclStatus issue_each(const Range& range, Issue issue) {
  NcclStatus status = NcclStatus::success;
  for (const auto& item : range) {
    const NcclStatus now = issue(item);
    if (now != NcclStatus::success) status = now;
    if (now != NcclStatus::success && now != NcclStatus::in_progress) return now;
  }
  return status;
}

struct Piece {
  int peer;
  std::int64_t begin;
  std::int64_t size;
};
// Pieces that lie one after the other; empty ones are left out, alike on all ranks.
std::vector<Piece> pieces(std::span<const std::int64_t> sizes) {
  std::vector<Piece> out;
  std::int64_t begin = 0;
  for (std::size_t peer = 0; peer < sizes.size(); ++peer) {
    if (sizes[peer] > 0) out.push_back({static_cast<int>(peer), begin, sizes[peer]});
    begin += sizes[peer];
  }
  return out;
}

NcclId agreed_id(Communicator& host, NcclCalls& calls) {
  NcclId id{};
  const NcclStatus made = host.rank() == 0 ? calls.make_id(id) : NcclStatus::success;
  // The root's failure must reach those who wait for its id.
  if (host.all_reduce_or(made != NcclStatus::success))
    throw PeerError("communicator " + host.name() + ": rank 0 could not make an NCCL id: " +
                    (host.rank() == 0 ? calls.reason() : std::string("see its own message")));
  host.broadcast(id, 0);
  return id;
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> host, NcclOptions options)
      : Communicator(host->rank(), host->size(), host->name()),
        host_(std::move(host)),
        options_(std::move(options)) {
    if (size() == 1) return;
    auto calls = options_.make_calls();
    const NcclId id = agreed_id(*host_, *calls);
    group_ = std::make_shared<NcclGroup>(std::move(calls), id, name(), rank(), size(), options_.limits,
                                         options_.clock);
  }

 protected:
  void do_barrier(const Call&) override { host_->barrier(); }
  void do_broadcast(const Call& call, std::span<std::byte> data, int root) override {
    if (!on_device(data.data())) return host_->broadcast(data, root);
    run(call,
        [&](NcclCalls& calls) { return calls.broadcast(data.data(), data.data(), std::ssize(data), root); });
  }
  void do_all_gather(const Call& call, std::span<const std::byte> mine, std::span<std::byte> all,
                     std::span<const std::int64_t> piece_bytes) override {
    if (!on_device(all.data())) return host_->all_gather_v(mine, all, piece_bytes);
    run(call, [&](NcclCalls& calls) {
      return issue_each(pieces(piece_bytes), [&](const Piece& piece) {
        std::byte* to = all.data() + piece.begin;
        return calls.broadcast(piece.peer == rank() && !mine.empty() ? mine.data() : to, to, piece.size,
                               piece.peer);
      });
    });
  }
  void do_all_reduce(const Call&, std::span<std::int64_t> values, Reduction reduction) override {
    // Few values: control, which lies on the host. The base class has split sums so that they cannot
    // overflow.
    SWITCHYARD_CHECK(!on_device(values.data()), "all_reduce: {} values must lie in host memory",
                     values.size());
    if (reduction == Reduction::max) return host_->all_reduce_max(values);
    if (reduction == Reduction::min) return host_->all_reduce_min(values);
    host_->all_reduce_sum(values);
  }
  std::unique_ptr<Pending> do_reduce_scatter(const Call& call, std::span<const std::int64_t> in,
                                             std::span<std::int64_t> out,
                                             std::span<const std::int64_t> counts) override {
    if (!on_device(in.data())) return host_->start_reduce_scatter(in, out, counts);
    return start(call, [&](NcclCalls& calls) {
      return issue_each(pieces(counts), [&](const Piece& piece) {
        return calls.reduce(in.data() + piece.begin, piece.peer == rank() ? out.data() : nullptr, piece.size,
                            piece.peer);
      });
    });
  }
  std::unique_ptr<Pending> do_all_to_all_v(const Call& call, std::span<const std::byte> send,
                                           std::span<std::byte> receive,
                                           const ExchangeSizes& sizes) override {
    if (!on_device(send.data()) && !on_device(receive.data()))
      return host_->start_all_to_all_v(send, receive, sizes);
    return start(call, [&](NcclCalls& calls) {
      std::vector<std::size_t> peers(static_cast<std::size_t>(size()));
      for (std::size_t p = 0; p < peers.size(); ++p)  // each rank begins with its next neighbour
        peers[p] = (static_cast<std::size_t>(rank()) + 1 + p) % peers.size();
      return issue_each(peers, [&](std::size_t p) {
        const int peer = static_cast<int>(p);
        NcclStatus status = NcclStatus::success;
        if (sizes.send_bytes[p] > 0)
          status = calls.send(send.data() + sizes.send_offsets[p], sizes.send_bytes[p], peer);
        if (sizes.receive_bytes[p] > 0 &&
            (status == NcclStatus::success || status == NcclStatus::in_progress))
          status = calls.receive(receive.data() + sizes.receive_offsets[p], sizes.receive_bytes[p], peer);
        return status;
      });
    });
  }
  std::unique_ptr<Communicator> do_split(const Call&, int color, int key, std::string name) override {
    return make_nccl_communicator(host_->split(color, key, std::move(name)), options_);
  }

 private:
  bool on_device(const void* memory) const {
    return group_ != nullptr && memory != nullptr && options_.is_device(memory);
  }
  std::unique_ptr<Pending> start(const Call& call, const std::function<NcclStatus(NcclCalls&)>& issue) {
    return std::make_unique<NcclPending>(group_, group_->start(call, issue));
  }
  void run(const Call& call, const std::function<NcclStatus(NcclCalls&)>& issue) {
    start(call, issue)->wait();
  }

  std::unique_ptr<Communicator> host_;
  NcclOptions options_;
  std::shared_ptr<NcclGroup> group_;  // none for a single rank
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host,
                                                     NcclOptions options) {
  return std::make_unique<NcclCommunicator>(std::move(host), std::move(options));
}

}  // namespace switchyard::parallel

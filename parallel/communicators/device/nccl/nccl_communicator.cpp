#include "parallel/communicators/device/nccl/nccl_communicator.h"

#include <algorithm>

#include "kernels/runtime/check.h"
#include "parallel/communicators/device/over_host.h"

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

class NcclCommunicator final : public OverHost {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> beneath, NcclOptions options)
      : OverHost(std::move(beneath)), options_(std::move(options)) {
    if (size() == 1) return;
    auto calls = options_.make_calls();
    const NcclId id = agreed_id(host(), *calls);
    group_ = std::make_shared<NcclGroup>(std::move(calls), id, name(), rank(), size(), options_.limits,
                                         options_.clock);
  }
  bool reaches_device_memory() const override { return group_ != nullptr; }

 protected:
  void wait_for_own_device() override { options_.wait_for_device(); }
  void gather_on_device(const Call& call, std::span<const std::byte> mine, std::span<std::byte> all,
                        std::span<const std::int64_t> piece_bytes) override {
    const auto issue = [&](NcclCalls& calls) {
      return issue_each(pieces(piece_bytes), [&](const Piece& piece) {
        std::byte* to = all.data() + piece.begin;
        return calls.broadcast(piece.peer == rank() ? mine.data() : to, to, piece.size, piece.peer);
      });
    };
    start(call, issue)->wait();
  }
  std::unique_ptr<Pending> reduce_scatter_on_device(const Call& call, std::span<const std::int64_t> in,
                                                    std::span<std::int64_t> out,
                                                    std::span<const std::int64_t> counts) override {
    return start(call, [&](NcclCalls& calls) {
      return issue_each(pieces(counts), [&](const Piece& piece) {
        return calls.reduce(in.data() + piece.begin, piece.peer == rank() ? out.data() : nullptr, piece.size,
                            piece.peer);
      });
    });
  }
  std::unique_ptr<Pending> exchange_on_device(const Call& call, std::span<const std::byte> send,
                                              std::span<std::byte> receive,
                                              const ExchangeSizes& sizes) override {
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
  std::unique_ptr<Communicator> alike(std::unique_ptr<Communicator> beneath) override {
    return make_nccl_communicator(std::move(beneath), options_);
  }

 private:
  std::unique_ptr<Pending> start(const Call& call, const std::function<NcclStatus(NcclCalls&)>& issue) {
    return std::make_unique<NcclPending>(group_, group_->start(call, issue));
  }

  NcclOptions options_;
  std::shared_ptr<NcclGroup> group_;  // none for a single rank
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host,
                                                     NcclOptions options) {
  return std::make_unique<NcclCommunicator>(std::move(host), std::move(options));
}

}  // namespace switchyard::parallel

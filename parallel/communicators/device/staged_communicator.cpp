#include "parallel/communicators/device/staged_communicator.h"

#include <functional>
#include <utility>
#include <vector>

#include "parallel/communicators/device/over_host.h"

namespace switchyard::parallel {

namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

/// Where pieces of a collective lie in host memory.
struct HostMemory {
  std::vector<std::byte> sent, received;
};

/// Host memory that is not in use now. Pages once touched stay, so that an exchange costs no page faults.
class Pool {
 public:
  std::unique_ptr<HostMemory> take() {
    if (idle_.empty()) return std::make_unique<HostMemory>();
    auto memory = std::move(idle_.back());
    idle_.pop_back();
    return memory;
  }
  void give_back(std::unique_ptr<HostMemory> memory) { idle_.push_back(std::move(memory)); }

 private:
  std::vector<std::unique_ptr<HostMemory>> idle_;
};

/// A collective under way on the host; wait() also puts its result on the device.
class StagedPending final : public Pending {
 public:
  using Finish = std::function<void(const HostMemory&)>;
  StagedPending(Pool& pool, std::unique_ptr<HostMemory> memory, std::unique_ptr<Pending> inner, Finish finish)
      : pool_(pool), memory_(std::move(memory)), inner_(std::move(inner)), finish_(std::move(finish)) {}
  void wait() override {
    if (!inner_) return;
    inner_->wait();
    inner_.reset();
    finish_(*memory_);
    pool_.give_back(std::move(memory_));
  }
  bool poll() override { return !inner_ || inner_->poll(); }

 private:
  Pool& pool_;
  std::unique_ptr<HostMemory> memory_;  // before the collective that uses it
  std::unique_ptr<Pending> inner_;
  Finish finish_;
};

class StagedCommunicator final : public OverHost {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> host, kernels::Context& context)
      : OverHost(std::move(host)), context_(context) {}

 protected:
  void wait_for_own_device() override { context_.queue()->wait(); }
  void gather_on_device(const Call& call, std::span<const std::byte> mine, std::span<std::byte> all,
                        std::span<const std::int64_t> piece_bytes) override;
  std::unique_ptr<Pending> reduce_scatter_on_device(const Call& call, std::span<const std::int64_t> in,
                                                    std::span<std::int64_t> out,
                                                    std::span<const std::int64_t> counts) override;
  std::unique_ptr<Pending> exchange_on_device(const Call& call, std::span<const std::byte> send,
                                              std::span<std::byte> receive,
                                              const ExchangeSizes& sizes) override;
  std::unique_ptr<Communicator> alike(std::unique_ptr<Communicator> host) override {
    return make_staged_communicator(std::move(host), context_);
  }

 private:
  void upload(void* to, const std::byte* from, std::int64_t bytes) {
    context_.staging().upload(to, from, index(bytes));
  }
  void download(std::byte* to, const void* from, std::int64_t bytes) {
    context_.staging().download(to, from, index(bytes));
  }

  kernels::Context& context_;
  Pool pool_;
};

void StagedCommunicator::gather_on_device(const Call&, std::span<const std::byte> mine,
                                          std::span<std::byte> all,
                                          std::span<const std::int64_t> piece_bytes) {
  std::int64_t begin = 0;
  for (int peer = 0; peer < rank(); ++peer) begin += piece_bytes[index(peer)];
  const auto own = std::ssize(mine), end = begin + own;
  auto memory = pool_.take();
  std::vector<std::byte>& host_all = memory->received;
  host_all.resize(all.size());
  std::byte* const host_mine = host_all.data() + begin;
  download(host_mine, mine.data(), own);
  host().all_gather_v({host_mine, mine.size()}, host_all, piece_bytes);
  upload(all.data(), host_all.data(), begin);
  upload(all.data() + end, host_all.data() + end, std::ssize(all) - end);
  if (own > 0 && mine.data() != all.data() + begin)
    context_.queue()->copy_on_device(all.data() + begin, mine.data(), mine.size());
  pool_.give_back(std::move(memory));
}

std::unique_ptr<Pending> StagedCommunicator::reduce_scatter_on_device(const Call&,
                                                                      std::span<const std::int64_t> in,
                                                                      std::span<std::int64_t> out,
                                                                      std::span<const std::int64_t> counts) {
  auto memory = pool_.take();
  memory->sent.resize(in.size_bytes());
  download(memory->sent.data(), in.data(), static_cast<std::int64_t>(in.size_bytes()));
  const std::span words(reinterpret_cast<std::int64_t*>(memory->sent.data()), in.size());
  std::int64_t begin = 0;
  for (int peer = 0; peer < rank(); ++peer) begin += counts[index(peer)];
  const auto own = words.subspan(index(begin), out.size());
  auto pending = host().start_reduce_scatter(words, own, counts);
  return std::make_unique<StagedPending>(
      pool_, std::move(memory), std::move(pending), [this, own, out](const HostMemory&) {
        upload(out.data(), std::as_bytes(own).data(), static_cast<std::int64_t>(own.size_bytes()));
      });
}

std::unique_ptr<Pending> StagedCommunicator::exchange_on_device(const Call&, std::span<const std::byte> send,
                                                                std::span<std::byte> receive,
                                                                const ExchangeSizes& sizes) {
  // What travels lies without gaps on the host; a rank's own piece stays on the device.
  struct Piece {
    std::int64_t device_offset, host_offset, bytes;
  };
  std::vector<std::int64_t> send_bytes, send_at, receive_bytes, receive_at;
  std::vector<Piece> incoming;
  std::int64_t sent = 0, received = 0;
  for (int peer = 0; peer < size(); ++peer) {
    const std::size_t p = index(peer);
    send_bytes.push_back(peer == rank() ? 0 : sizes.send_bytes[p]);
    receive_bytes.push_back(peer == rank() ? 0 : sizes.receive_bytes[p]);
    send_at.push_back(sent);
    receive_at.push_back(received);
    incoming.push_back({sizes.receive_offsets[p], received, receive_bytes.back()});
    sent += send_bytes.back();
    received += receive_bytes.back();
  }
  auto memory = pool_.take();
  memory->sent.resize(index(sent));
  memory->received.resize(index(received));
  for (std::size_t p = 0; p < incoming.size(); ++p)
    if (send_bytes[p] > 0)
      download(memory->sent.data() + send_at[p], send.data() + sizes.send_offsets[p], send_bytes[p]);
  auto pending = host().start_all_to_all_v(memory->sent, memory->received,
                                           {send_bytes, send_at, receive_bytes, receive_at});
  const std::size_t self = index(rank());
  if (sizes.send_bytes[self] > 0)
    context_.queue()->copy_on_device(receive.data() + sizes.receive_offsets[self],
                                     send.data() + sizes.send_offsets[self], index(sizes.send_bytes[self]));
  return std::make_unique<StagedPending>(
      pool_, std::move(memory), std::move(pending),
      [this, receive, incoming = std::move(incoming)](const HostMemory& arrived) {
        for (const Piece& piece : incoming)
          upload(receive.data() + piece.device_offset, arrived.received.data() + piece.host_offset,
                 piece.bytes);
      });
}

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(std::unique_ptr<Communicator> host,
                                                       kernels::Context& context) {
  return std::make_unique<StagedCommunicator>(std::move(host), context);
}

}  // namespace switchyard::parallel

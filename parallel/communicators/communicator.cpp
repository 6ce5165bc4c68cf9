#include "parallel/communicators/communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "kernels/runtime/check.h"

namespace switchyard::parallel {

namespace {

/// FNV-1a over 64-bit words: enough to tell differing calls apart in a check that is not a defence.
std::uint64_t mix(std::uint64_t state, std::uint64_t word) {
  return (state ^ word) * 0x100000001b3U;
}

std::uint64_t signature_of(std::span<const std::int64_t> words) {
  std::uint64_t state = 0xcbf29ce484222325U;
  for (const std::int64_t word : words) state = mix(state, static_cast<std::uint64_t>(word));
  return state;
}

std::uint64_t signature_of(std::int64_t first, std::int64_t second = 0) {
  const std::array<std::int64_t, 2> words{first, second};
  return signature_of(words);
}

std::int64_t ssize_of(std::span<const std::byte> bytes) {
  return static_cast<std::int64_t>(bytes.size());
}

void check_piece(const char* what, std::span<const std::byte> buffer, std::int64_t bytes, std::int64_t offset,
                 int peer) {
  SWITCHYARD_CHECK(bytes >= 0 && (bytes == 0 || (offset >= 0 && offset + bytes <= ssize_of(buffer))),
                   "all_to_all_v: {} piece of rank {} must lie in the buffer; got {} bytes at {} of {}", what,
                   peer, bytes, offset, buffer.size());
}

}  // namespace

std::string_view collective_name(Collective collective) {
  static constexpr std::array<std::string_view, kCollectives> kNames{
      "barrier",    "broadcast",      "all_gather",   "all_gather_v",
      "all_reduce", "reduce_scatter", "all_to_all_v", "split"};
  return kNames[static_cast<std::size_t>(collective)];
}

std::string Call::text() const {
  return fmt::format("{} #{} ({} bytes)", collective_name(kind), sequence, bytes);
}

void check_same_call(const std::string& communicator, int rank, const Call& mine, int peer,
                     const Call& theirs) {
  if (mine.kind == theirs.kind && mine.sequence == theirs.sequence && mine.signature == theirs.signature) {
    return;
  }
  throw PeerError(fmt::format(
      "communicator {}: all ranks must enter the same collective with the same sizes; rank {} is in "
      "{}, rank {} in {}",
      communicator, rank, mine.text(), peer, theirs.text()));
}

Call Communicator::enter(Collective kind, std::uint64_t signature, std::int64_t payload, std::int64_t sent,
                         Device memory) {
  if (memory != Device::cpu) {
    SWITCHYARD_CHECK(reaches_device_memory(), "communicator {}: {} of {} bytes must lie in host memory",
                     name_, collective_name(kind), payload);
    signature = mix(signature, static_cast<std::uint64_t>(memory));
    wait_for_own_device();
  }
  Call call{kind, sequence_++, signature, payload, memory};
  Traffic& traffic = traffic_[static_cast<std::size_t>(kind)];
  ++traffic.calls;
  traffic.bytes += sent;
  if (observer_ != nullptr) observer_->entered(name_, call);
  return call;
}

void Communicator::leave(const Call& call) {
  if (observer_ != nullptr) observer_->left(name_, call);
}

void Communicator::barrier() {
  const Call call = enter(Collective::barrier, 0, 0, 0);
  do_barrier(call);
  leave(call);
}

void Communicator::broadcast(std::span<std::byte> data, int root) {
  SWITCHYARD_CHECK(root >= 0 && root < size_, "broadcast: root must be a rank of {}; got {} of {}", name_,
                   root, size_);
  const std::int64_t bytes = ssize_of(data);
  const Call call =
      enter(Collective::broadcast, signature_of(bytes, root), bytes, rank_ == root ? bytes * (size_ - 1) : 0);
  do_broadcast(call, data, root);
  leave(call);
}

void Communicator::gather(Collective kind, std::span<const std::byte> mine, std::span<std::byte> all,
                          std::span<const std::int64_t> piece_bytes, Device memory) {
  SWITCHYARD_CHECK(std::ssize(piece_bytes) == size_, "{}: one piece size for each of {} ranks; got {}",
                   collective_name(kind), size_, piece_bytes.size());
  SWITCHYARD_CHECK(ssize_of(mine) == piece_bytes[static_cast<std::size_t>(rank_)],
                   "{}: rank {} must give the {} bytes it announces; got {}", collective_name(kind), rank_,
                   piece_bytes[static_cast<std::size_t>(rank_)], mine.size());
  const std::int64_t total = std::accumulate(piece_bytes.begin(), piece_bytes.end(), std::int64_t{0});
  SWITCHYARD_CHECK(ssize_of(all) == total, "{}: the result holds all pieces, {} bytes; got {}",
                   collective_name(kind), total, all.size());
  const Call call =
      enter(kind, signature_of(piece_bytes), ssize_of(mine), ssize_of(mine) * (size_ - 1), memory);
  do_all_gather(call, mine, all, piece_bytes);
  leave(call);
}

void Communicator::all_gather(std::span<const std::byte> mine, std::span<std::byte> all) {
  const std::vector<std::int64_t> pieces(static_cast<std::size_t>(size_), ssize_of(mine));
  gather(Collective::all_gather, mine, all, pieces, Device::cpu);
}

void Communicator::all_gather_v(std::span<const std::byte> mine, std::span<std::byte> all,
                                std::span<const std::int64_t> piece_bytes, Device memory) {
  gather(Collective::all_gather_v, mine, all, piece_bytes, memory);
}

void Communicator::reduce(std::span<std::int64_t> values, Reduction reduction) {
  const std::int64_t bytes = std::ssize(values) * 8;
  const Call call =
      enter(Collective::all_reduce, signature_of(std::ssize(values), static_cast<std::int64_t>(reduction)),
            bytes, bytes * (size_ - 1));
  do_all_reduce(call, values, reduction);
  leave(call);
}

// Halves of 32 bits cannot overflow 64 bits on fewer than 2^31 ranks, so every rank sees the true sum and all
// come to the same verdict on whether it fits.
void Communicator::all_reduce_sum(std::span<std::int64_t> values) {
  std::vector<std::int64_t> halves(2 * values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    halves[2 * i] = values[i] & 0xffffffff;
    halves[2 * i + 1] = values[i] >> 32;
  }
  reduce(halves, Reduction::sum);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t high = halves[2 * i + 1] + (halves[2 * i] >> 32);
    if (high > 0x7fffffff || high < -0x80000000LL) {
      throw NumericsError(fmt::format(
          "communicator {}: all_reduce_sum: the sum of value {} over {} ranks must fit 64 bits; got "
          "about {} * 2^32",
          name_, i, size_, high));
    }
    values[i] = high * 0x100000000LL + (halves[2 * i] & 0xffffffff);
  }
}

void Communicator::all_reduce_max(std::span<std::int64_t> values) {
  reduce(values, Reduction::max);
}

void Communicator::all_reduce_min(std::span<std::int64_t> values) {
  reduce(values, Reduction::min);
}

bool Communicator::all_reduce_or(bool value) {
  std::int64_t word = value ? 1 : 0;
  reduce({&word, 1}, Reduction::max);
  return word != 0;
}

namespace {

/// Tells the observer when the collective has ended, which for a started one is in wait().
class ObservedPending final : public Pending {
 public:
  ObservedPending(std::unique_ptr<Pending> inner, CollectiveObserver& observer, const std::string& name,
                  const Call& call)
      : inner_(std::move(inner)), observer_(&observer), name_(name), call_(call) {}
  void wait() override {
    if (observer_ != nullptr) observer_->waits(name_, call_);
    inner_->wait();
    if (observer_ != nullptr) observer_->left(name_, call_);
    observer_ = nullptr;
  }
  bool poll() override { return inner_->poll(); }

 private:
  std::unique_ptr<Pending> inner_;
  CollectiveObserver* observer_;
  std::string name_;
  Call call_;
};

std::unique_ptr<Pending> observed(std::unique_ptr<Pending> pending, CollectiveObserver* observer,
                                  const std::string& name, const Call& call) {
  if (observer == nullptr) return pending;
  observer->started(name, call);
  return std::make_unique<ObservedPending>(std::move(pending), *observer, name, call);
}

}  // namespace

std::unique_ptr<Pending> Communicator::start_reduce_scatter(std::span<const std::int64_t> in,
                                                            std::span<std::int64_t> out,
                                                            std::span<const std::int64_t> counts,
                                                            Device memory) {
  SWITCHYARD_CHECK(std::ssize(counts) == size_, "reduce_scatter: one count for each of {} ranks; got {}",
                   size_, counts.size());
  SWITCHYARD_CHECK(std::all_of(counts.begin(), counts.end(), [](std::int64_t c) { return c >= 0; }),
                   "reduce_scatter: counts must not be negative");
  const std::int64_t total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const std::int64_t own = counts[static_cast<std::size_t>(rank_)];
  SWITCHYARD_CHECK(std::ssize(in) == total && std::ssize(out) == own,
                   "reduce_scatter: in must hold {} and out {} values; got {} and {}", total, own, in.size(),
                   out.size());
  const Call call =
      enter(Collective::reduce_scatter, signature_of(counts), total * 8, (total - own) * 8, memory);
  return observed(do_reduce_scatter(call, in, out, counts), observer_, name_, call);
}

void Communicator::reduce_scatter(std::span<const std::int64_t> in, std::span<std::int64_t> out,
                                  std::span<const std::int64_t> counts, Device memory) {
  start_reduce_scatter(in, out, counts, memory)->wait();
}

std::unique_ptr<Pending> Communicator::start_all_to_all_v(std::span<const std::byte> send,
                                                          std::span<std::byte> receive,
                                                          const ExchangeSizes& sizes, Device memory) {
  const auto ranks = static_cast<std::size_t>(size_);
  SWITCHYARD_CHECK(sizes.send_bytes.size() == ranks && sizes.send_offsets.size() == ranks &&
                       sizes.receive_bytes.size() == ranks && sizes.receive_offsets.size() == ranks,
                   "all_to_all_v: sizes and offsets for each of {} ranks", size_);
  std::int64_t sent = 0;
  for (int peer = 0; peer < size_; ++peer) {
    const auto p = static_cast<std::size_t>(peer);
    check_piece("send", send, sizes.send_bytes[p], sizes.send_offsets[p], peer);
    check_piece("receive", receive, sizes.receive_bytes[p], sizes.receive_offsets[p], peer);
    if (peer != rank_) sent += sizes.send_bytes[p];
  }
  const auto self = static_cast<std::size_t>(rank_);
  SWITCHYARD_CHECK(sizes.send_bytes[self] == sizes.receive_bytes[self],
                   "all_to_all_v: a rank receives from itself what it sends; got {} and {} bytes",
                   sizes.receive_bytes[self], sizes.send_bytes[self]);
  const Call call = enter(Collective::all_to_all_v, 0, sent, sent, memory);
  return observed(do_all_to_all_v(call, send, receive, sizes), observer_, name_, call);
}

void Communicator::all_to_all_v(std::span<const std::byte> send, std::span<std::byte> receive,
                                const ExchangeSizes& sizes, Device memory) {
  start_all_to_all_v(send, receive, sizes, memory)->wait();
}

std::unique_ptr<Communicator> Communicator::split(int color, int key, std::string name) {
  SWITCHYARD_CHECK(color >= 0, "split: the color must not be negative; got {}", color);
  const Call call = enter(Collective::split, 0, 8, 8LL * (size_ - 1));
  auto group = do_split(call, color, key, std::move(name));
  group->set_observer(observer_);
  leave(call);
  return group;
}

}  // namespace switchyard::parallel

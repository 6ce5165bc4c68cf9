#include "parallel/communicators/local.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>

#include "kernels/runtime/check.h"
#include "parallel/communicators/local_world.h"

namespace switchyard::parallel {

namespace {

void copy_bytes(void* to, const void* from, std::int64_t bytes) {
  if (bytes > 0 && to != from) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

const std::byte* offered_bytes(const LocalOffer& offer) {
  return static_cast<const std::byte*>(offer.data);
}

const std::int64_t* offered_words(const LocalOffer& offer) {
  return static_cast<const std::int64_t*>(offer.data);
}

std::int64_t combine(std::int64_t a, std::int64_t b, Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return a + b;
    case Reduction::max:
      return std::max(a, b);
    case Reduction::min:
      return std::min(a, b);
  }
  return a;
}

/// Waits for all, then reads. All ranks compare with rank 0, so that all throw if one does.
void finish(const LocalGroup& group, int rank, LocalMeeting& meeting,
            kernels::FunctionRef<void(const LocalMeeting&)> read) {
  group.world->meet(group, rank, meeting, [&] {
    for (std::size_t peer = 1; peer < meeting.offers.size(); ++peer) {
      check_same_call(group.name, 0, meeting.offers[0].call, static_cast<int>(peer),
                      meeting.offers[peer].call);
    }
    read(meeting);
  });
}

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<LocalGroup> group, int rank)
      : Communicator(rank, static_cast<int>(group->members.size()), group->name), group_(std::move(group)) {}

 protected:
  void do_barrier(const Call& call) override {
    meet({true, call, nullptr, {}, {}, 0, 0}, [](const LocalMeeting&) {});
  }
  void do_broadcast(const Call& call, std::span<std::byte> data, int root) override;
  void do_all_gather(const Call& call, std::span<const std::byte> mine, std::span<std::byte> all,
                     std::span<const std::int64_t> piece_bytes) override;
  void do_all_reduce(const Call& call, std::span<std::int64_t> values, Reduction reduction) override;
  std::unique_ptr<Pending> do_reduce_scatter(const Call& call, std::span<const std::int64_t> in,
                                             std::span<std::int64_t> out,
                                             std::span<const std::int64_t> counts) override;
  std::unique_ptr<Pending> do_all_to_all_v(const Call& call, std::span<const std::byte> send,
                                           std::span<std::byte> receive, const ExchangeSizes& sizes) override;
  std::unique_ptr<Communicator> do_split(const Call& call, int color, int key, std::string name) override;

 private:
  void meet(const LocalOffer& offer, kernels::FunctionRef<void(const LocalMeeting&)> read) {
    const auto meeting = group_->world->post(*group_, rank(), offer);
    finish(*group_, rank(), *meeting, read);
  }

  std::shared_ptr<LocalGroup> group_;
};

/// A collective whose reading is put off until wait().
class LocalPending final : public Pending {
 public:
  using Read = std::function<void(const LocalMeeting&)>;
  LocalPending(std::shared_ptr<LocalGroup> group, int rank, const LocalOffer& offer, Read read)
      : group_(std::move(group)), rank_(rank), read_(std::move(read)) {
    meeting_ = group_->world->post(*group_, rank_, offer);
  }
  ~LocalPending() override {
    if (meeting_) group_->world->abandon(*group_, rank_, *meeting_);
  }
  void wait() override {
    if (!meeting_) return;
    const auto meeting = std::move(meeting_);
    meeting_ = nullptr;
    finish(*group_, rank_, *meeting, read_);
  }
  bool poll() override { return !meeting_ || group_->world->complete(*meeting_); }

 private:
  std::shared_ptr<LocalGroup> group_;
  int rank_;
  Read read_;
  std::shared_ptr<LocalMeeting> meeting_;
};

void LocalCommunicator::do_broadcast(const Call& call, std::span<std::byte> data, int root) {
  meet({true, call, data.data(), {}, {}, 0, 0}, [&](const LocalMeeting& meeting) {
    copy_bytes(data.data(), meeting.offers[static_cast<std::size_t>(root)].data,
               static_cast<std::int64_t>(data.size()));
  });
}

void LocalCommunicator::do_all_gather(const Call& call, std::span<const std::byte> mine,
                                      std::span<std::byte> all, std::span<const std::int64_t> piece_bytes) {
  meet({true, call, mine.data(), {}, {}, 0, 0}, [&](const LocalMeeting& meeting) {
    std::byte* to = all.data();
    for (std::size_t peer = 0; peer < piece_bytes.size(); ++peer) {
      copy_bytes(to, meeting.offers[peer].data, piece_bytes[peer]);
      to += piece_bytes[peer];
    }
  });
}

void LocalCommunicator::do_all_reduce(const Call& call, std::span<std::int64_t> values, Reduction reduction) {
  std::vector<std::int64_t> result(values.begin(), values.end());
  meet({true, call, values.data(), {}, {}, 0, 0}, [&](const LocalMeeting& meeting) {
    for (std::size_t peer = 0; peer < meeting.offers.size(); ++peer) {
      if (static_cast<int>(peer) == rank()) continue;
      const std::int64_t* theirs = offered_words(meeting.offers[peer]);
      for (std::size_t i = 0; i < result.size(); ++i) result[i] = combine(result[i], theirs[i], reduction);
    }
  });
  std::copy(result.begin(), result.end(), values.begin());
}

std::unique_ptr<Pending> LocalCommunicator::do_reduce_scatter(const Call& call,
                                                              std::span<const std::int64_t> in,
                                                              std::span<std::int64_t> out,
                                                              std::span<const std::int64_t> counts) {
  const std::int64_t begin = std::accumulate(counts.begin(), counts.begin() + rank(), std::int64_t{0});
  // Peers never read this rank's own piece, so `out` may be written while they read the rest of `in`.
  return std::make_unique<LocalPending>(
      group_, rank(), LocalOffer{true, call, in.data(), {}, {}, 0, 0},
      [self = static_cast<std::size_t>(rank()), begin, in, out](const LocalMeeting& meeting) {
        copy_bytes(out.data(), in.data() + begin, std::ssize(out) * 8);
        for (std::size_t peer = 0; peer < meeting.offers.size(); ++peer) {
          if (peer == self) continue;
          const std::int64_t* theirs = offered_words(meeting.offers[peer]) + begin;
          for (std::size_t i = 0; i < out.size(); ++i) out[i] += theirs[i];
        }
      });
}

namespace {

/// The four size lists of an exchange, kept for a collective that outlives the caller's spans.
struct OwnedSizes {
  explicit OwnedSizes(const ExchangeSizes& sizes)
      : send_bytes(sizes.send_bytes.begin(), sizes.send_bytes.end()),
        send_offsets(sizes.send_offsets.begin(), sizes.send_offsets.end()),
        receive_bytes(sizes.receive_bytes.begin(), sizes.receive_bytes.end()),
        receive_offsets(sizes.receive_offsets.begin(), sizes.receive_offsets.end()) {}
  std::vector<std::int64_t> send_bytes, send_offsets, receive_bytes, receive_offsets;
};

}  // namespace

std::unique_ptr<Pending> LocalCommunicator::do_all_to_all_v(const Call& call, std::span<const std::byte> send,
                                                            std::span<std::byte> receive,
                                                            const ExchangeSizes& sizes) {
  const auto owned = std::make_shared<OwnedSizes>(sizes);
  const auto self = static_cast<std::size_t>(rank());
  auto read = [self, owned, receive, name = this->name()](const LocalMeeting& meeting) {
    for (std::size_t peer = 0; peer < meeting.offers.size(); ++peer) {
      const LocalOffer& theirs = meeting.offers[peer];
      if (theirs.sizes[self] != owned->receive_bytes[peer]) {
        throw PeerError(fmt::format(
            "communicator {}: both sides of an exchange must agree on its size; in {} rank {} sends {} "
            "bytes, rank {} expects {}",
            name, theirs.call.text(), peer, theirs.sizes[self], self, owned->receive_bytes[peer]));
      }
    }
    for (std::size_t peer = 0; peer < meeting.offers.size(); ++peer) {
      const LocalOffer& theirs = meeting.offers[peer];
      if (owned->receive_bytes[peer] == 0) continue;
      copy_bytes(receive.data() + owned->receive_offsets[peer], offered_bytes(theirs) + theirs.offsets[self],
                 owned->receive_bytes[peer]);
    }
  };
  return std::make_unique<LocalPending>(
      group_, rank(), LocalOffer{true, call, send.data(), owned->send_bytes, owned->send_offsets, 0, 0},
      std::move(read));
}

std::unique_ptr<Communicator> LocalCommunicator::do_split(const Call& call, int color, int key,
                                                          std::string name) {
  std::shared_ptr<LocalGroup> group;
  int group_rank = 0;
  const std::shared_ptr<LocalMeeting> meeting =
      group_->world->post(*group_, rank(), {true, call, nullptr, {}, {}, color, key});
  finish(*group_, rank(), *meeting, [&](const LocalMeeting& all) {
    std::vector<int> chosen;
    for (std::size_t peer = 0; peer < all.offers.size(); ++peer) {
      if (all.offers[peer].color == color) chosen.push_back(static_cast<int>(peer));
    }
    std::stable_sort(chosen.begin(), chosen.end(), [&](int a, int b) {
      return all.offers[static_cast<std::size_t>(a)].key < all.offers[static_cast<std::size_t>(b)].key;
    });
    group_rank = static_cast<int>(std::find(chosen.begin(), chosen.end(), rank()) - chosen.begin());
    const std::lock_guard held(group_->world->lock());
    auto& slot = meeting->groups[color];
    if (!slot) {
      slot = std::make_shared<LocalGroup>();
      slot->world = group_->world;
      slot->name = name;
      for (const int peer : chosen) slot->members.push_back(group_->members[static_cast<std::size_t>(peer)]);
    }
    group = slot;
  });
  return std::make_unique<LocalCommunicator>(std::move(group), group_rank);
}

std::shared_ptr<LocalGroup> world_group(int ranks) {
  auto group = std::make_shared<LocalGroup>();
  group->world = std::make_shared<LocalWorld>(ranks);
  group->members.resize(static_cast<std::size_t>(ranks));
  std::iota(group->members.begin(), group->members.end(), 0);
  group->name = "world";
  return group;
}

}  // namespace

std::unique_ptr<Communicator> single_rank() {
  return std::make_unique<LocalCommunicator>(world_group(1), 0);
}

void run_local(int ranks, const std::function<void(Communicator&)>& body) {
  SWITCHYARD_CHECK(ranks >= 1, "run_local: at least one rank; got {}", ranks);
  const auto group = world_group(ranks);
  const auto run_rank = [&](int rank) {
    std::exception_ptr failure;
    try {
      LocalCommunicator communicator(group, rank);
      body(communicator);
    } catch (...) {
      failure = std::current_exception();
    }
    group->world->end(rank, failure);
  };
  std::vector<std::thread> threads;
  for (int rank = 1; rank < ranks; ++rank) threads.emplace_back(run_rank, rank);
  run_rank(0);
  for (std::thread& thread : threads) thread.join();
  group->world->rethrow();
}

}  // namespace switchyard::parallel

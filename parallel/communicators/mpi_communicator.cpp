#include "parallel/communicators/mpi_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <limits>
#include <numeric>
#include <thread>

#include "kernels/runtime/check.h"

namespace switchyard::parallel {

MpiHandle::MpiHandle(MPI_Comm comm) : comm_(comm) {
  // Errors come back as codes and become exceptions that name the collective.
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "set error handler");
}

MpiHandle::~MpiHandle() {
  if (comm_ == MPI_COMM_NULL || std::uncaught_exceptions() > 0) return;
  int closed = 0;
  MPI_Finalized(&closed);
  if (closed == 0) MPI_Comm_free(&comm_);
}

namespace {

/// What a rank tells a peer before a collective.
struct Announcement {
  std::int64_t kind = 0;
  std::int64_t sequence = 0;
  std::uint64_t signature = 0;
  std::int64_t bytes = 0;
  std::int64_t bytes_to_peer = 0;
};

MPI_Op mpi_op(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum:
      return MPI_SUM;
    case Reduction::max:
      return MPI_MAX;
    case Reduction::min:
      return MPI_MIN;
  }
  return MPI_SUM;
}

/// A nonblocking collective of MPI's own.
class MpiRequest final : public Pending {
 public:
  void wait() override {
    check_mpi(MPI_Wait(&request, MPI_STATUS_IGNORE), "wait");
    if (!result.empty()) std::copy(result.begin(), result.end(), out.begin());
    result.clear();
  }
  bool poll() override {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "test");
    return done != 0;
  }

  MPI_Request request = MPI_REQUEST_NULL;
  std::vector<int> numbers;          ///< argument lists that MPI reads until the end
  std::vector<std::int64_t> result;  ///< where MPI must not write into the caller's memory itself
  std::span<std::int64_t> out;
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MpiHandle comm, MpiHandle announcements, int rank, int size, std::string name,
                  const MpiOptions& options)
      : Communicator(rank, size, std::move(name)),
        comm_(std::move(comm)),
        announcements_(std::move(announcements)),
        options_(options) {}

 protected:
  void do_barrier(const Call& call) override {
    announce(call);
    check_mpi(MPI_Barrier(comm_.get()), "barrier");
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
  void announce(const Call& call, std::span<const std::int64_t> send_bytes = {},
                std::span<const std::int64_t> receive_bytes = {});
  void await_announcements(const Call& call, std::vector<MPI_Request>& requests);
  /// What MPI's 32-bit counts can hold.
  std::int64_t count_limit() const {
    return std::min<std::int64_t>(std::numeric_limits<int>::max(), options_.message_bytes);
  }
  MessageChannel channel(const Call& call) const {
    // The standard promises tags up to 32767; far fewer collectives are under way at once.
    return {comm_.get(), rank(), size(), static_cast<int>(call.sequence % 32000) + 1, options_.message_bytes};
  }

  MpiHandle comm_;
  MpiHandle announcements_;
  MpiOptions options_;
};

void MpiCommunicator::announce(const Call& call, std::span<const std::int64_t> send_bytes,
                               std::span<const std::int64_t> receive_bytes) {
  if (!options_.check_participation || size() == 1) return;
  const auto ranks = static_cast<std::size_t>(size());
  std::vector<Announcement> mine(ranks);
  std::vector<Announcement> theirs(ranks);
  std::vector<MPI_Request> requests(2 * ranks, MPI_REQUEST_NULL);
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    const auto p = static_cast<std::size_t>(peer);
    mine[p] = {static_cast<std::int64_t>(call.kind), call.sequence, call.signature, call.bytes,
               send_bytes.empty() ? 0 : send_bytes[p]};
    check_mpi(
        MPI_Irecv(&theirs[p], sizeof(Announcement), MPI_BYTE, peer, 0, announcements_.get(), &requests[p]),
        "receive of an announcement");
    check_mpi(MPI_Isend(&mine[p], sizeof(Announcement), MPI_BYTE, peer, 0, announcements_.get(),
                        &requests[ranks + p]),
              "announcement");
  }
  await_announcements(call, requests);
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    const Announcement& other = theirs[static_cast<std::size_t>(peer)];
    check_same_call(name(), rank(), call, peer,
                    {static_cast<Collective>(other.kind), other.sequence, other.signature, other.bytes});
    const std::int64_t expected = receive_bytes.empty() ? 0 : receive_bytes[static_cast<std::size_t>(peer)];
    if (other.bytes_to_peer != expected) {
      throw PeerError(fmt::format(
          "communicator {}: both sides of an exchange must agree on its size; in {} rank {} sends {} "
          "bytes, rank {} expects {}",
          name(), call.text(), peer, other.bytes_to_peer, rank(), expected));
    }
  }
}

void MpiCommunicator::await_announcements(const Call& call, std::vector<MPI_Request>& requests) {
  const auto deadline = std::chrono::steady_clock::now() + options_.participation_timeout;
  const auto ranks = requests.size() / 2;
  for (;;) {
    int done = 0;
    check_mpi(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
              "wait for announcements");
    if (done != 0) return;
    if (std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::yield();
  }
  std::string missing;
  for (std::size_t peer = 0; peer < ranks; ++peer) {
    int arrived = 1;
    if (requests[peer] != MPI_REQUEST_NULL) MPI_Test(&requests[peer], &arrived, MPI_STATUS_IGNORE);
    if (arrived != 0) continue;
    missing += fmt::format("{}{}", missing.empty() ? "" : ", ", peer);
    MPI_Cancel(&requests[peer]);
    MPI_Wait(&requests[peer], MPI_STATUS_IGNORE);
  }
  // The announcements that nobody has taken are small and have left already; their requests may end on their
  // own.
  for (std::size_t i = ranks; i < requests.size(); ++i) {
    if (requests[i] != MPI_REQUEST_NULL) MPI_Request_free(&requests[i]);
  }
  throw PeerError(
      fmt::format("communicator {}: all ranks must enter the same collective; rank {} is in {}, nothing "
                  "came from rank {} within {} ms",
                  name(), rank(), call.text(), missing, options_.participation_timeout.count()));
}

void MpiCommunicator::do_broadcast(const Call& call, std::span<std::byte> data, int root) {
  announce(call);
  const auto limit = static_cast<std::size_t>(options_.message_bytes);
  for (std::size_t at = 0; at < data.size(); at += limit) {
    const std::size_t length = std::min(limit, data.size() - at);
    check_mpi(MPI_Bcast(data.data() + at, static_cast<int>(length), MPI_BYTE, root, comm_.get()),
              "broadcast");
  }
}

// Large pieces are counted in larger units. Where the pieces have no large common divisor they go as
// messages.
void MpiCommunicator::do_all_gather(const Call& call, std::span<const std::byte> mine,
                                    std::span<std::byte> all, std::span<const std::int64_t> piece_bytes) {
  announce(call);
  const auto self = static_cast<std::size_t>(rank());
  std::vector<std::int64_t> begin(piece_bytes.size() + 1, 0);
  std::partial_sum(piece_bytes.begin(), piece_bytes.end(), begin.begin() + 1);
  std::int64_t unit = std::int64_t{1} << 20;
  while (std::any_of(begin.begin(), begin.end(), [&](std::int64_t at) { return at % unit != 0; })) unit /= 2;
  if (begin.back() / unit > count_limit()) {
    const std::vector<std::int64_t> send_bytes(piece_bytes.size(), std::ssize(mine));
    const std::vector<std::int64_t> send_offsets(piece_bytes.size(), 0);
    std::vector<std::int64_t> receive_bytes(piece_bytes.begin(), piece_bytes.end());
    std::vector<std::int64_t> own_send = send_bytes;
    const bool in_place = mine.data() == all.data() + begin[self];
    if (in_place) own_send[self] = receive_bytes[self] = 0;
    start_exchange(channel(call), mine, all,
                   {own_send, send_offsets, receive_bytes, std::span(begin).first(piece_bytes.size())})
        ->wait();
    return;
  }
  MPI_Datatype type = MPI_DATATYPE_NULL;
  check_mpi(MPI_Type_contiguous(static_cast<int>(unit), MPI_BYTE, &type), "type");
  check_mpi(MPI_Type_commit(&type), "type");
  std::vector<int> counts;
  std::vector<int> offsets;
  for (std::size_t peer = 0; peer < piece_bytes.size(); ++peer) {
    counts.push_back(static_cast<int>(piece_bytes[peer] / unit));
    offsets.push_back(static_cast<int>(begin[peer] / unit));
  }
  const bool in_place = mine.empty() || mine.data() == all.data() + begin[self];
  const void* source = in_place ? MPI_IN_PLACE : mine.data();
  const int code = MPI_Allgatherv(source, counts[self], type, all.data(), counts.data(), offsets.data(), type,
                                  comm_.get());
  MPI_Type_free(&type);
  check_mpi(code, "all_gather");
}

void MpiCommunicator::do_all_reduce(const Call& call, std::span<std::int64_t> values, Reduction reduction) {
  announce(call);
  const auto limit = static_cast<std::size_t>(std::max<std::int64_t>(1, options_.message_bytes / 8));
  for (std::size_t at = 0; at < values.size(); at += limit) {
    const std::size_t length = std::min(limit, values.size() - at);
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, values.data() + at, static_cast<int>(length), MPI_INT64_T,
                            mpi_op(reduction), comm_.get()),
              "all_reduce");
  }
}

std::unique_ptr<Pending> MpiCommunicator::do_reduce_scatter(const Call& call,
                                                            std::span<const std::int64_t> in,
                                                            std::span<std::int64_t> out,
                                                            std::span<const std::int64_t> counts) {
  announce(call);
  if (options_.reduce_scatter == MpiOptions::Transport::messages || std::ssize(in) > count_limit()) {
    return start_sum_exchange(channel(call), in, out, counts);
  }
  auto pending = std::make_unique<MpiRequest>();
  pending->numbers.assign(counts.begin(), counts.end());
  pending->result.resize(out.size());  // `out` may be part of `in`, which MPI forbids
  pending->out = out;
  check_mpi(MPI_Ireduce_scatter(in.data(), pending->result.data(), pending->numbers.data(), MPI_INT64_T,
                                MPI_SUM, comm_.get(), &pending->request),
            "reduce_scatter");
  return pending;
}

std::unique_ptr<Pending> MpiCommunicator::do_all_to_all_v(const Call& call, std::span<const std::byte> send,
                                                          std::span<std::byte> receive,
                                                          const ExchangeSizes& sizes) {
  announce(call, sizes.send_bytes, sizes.receive_bytes);
  // The choice must be the same on all ranks, so it may not look at this rank's sizes: MPI's own call serves
  // only where the ranks have agreed that all sizes fit.
  bool collective = options_.all_to_all == MpiOptions::Transport::collective;
  if (collective) {
    std::int64_t greatest = std::max(std::ssize(send), std::ssize(receive));
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, &greatest, 1, MPI_INT64_T, MPI_MAX, comm_.get()), "all_to_all_v");
    collective = greatest <= count_limit();
  }
  if (!collective) return start_exchange(channel(call), send, receive, sizes);
  auto pending = std::make_unique<MpiRequest>();
  for (const auto& list :
       {sizes.send_bytes, sizes.send_offsets, sizes.receive_bytes, sizes.receive_offsets}) {
    for (const std::int64_t number : list) pending->numbers.push_back(static_cast<int>(number));
  }
  const int* numbers = pending->numbers.data();
  check_mpi(
      MPI_Ialltoallv(send.data(), numbers, numbers + size(), MPI_BYTE, receive.data(), numbers + 2 * size(),
                     numbers + 3 * size(), MPI_BYTE, comm_.get(), &pending->request),
      "all_to_all_v");
  return pending;
}

std::unique_ptr<Communicator> MpiCommunicator::do_split(const Call& call, int color, int key,
                                                        std::string name) {
  announce(call);
  MPI_Comm part = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(comm_.get(), color, key, &part), "split");
  return make_mpi_communicator(MpiHandle(part), std::move(name), options_);
}

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(MpiHandle comm, std::string name,
                                                    const MpiOptions& options) {
  int rank = 0;
  int size = 0;
  check_mpi(MPI_Comm_rank(comm.get(), &rank), "rank");
  check_mpi(MPI_Comm_size(comm.get(), &size), "size");
  MpiHandle announcements;
  if (options.check_participation) {
    MPI_Comm twin = MPI_COMM_NULL;
    check_mpi(MPI_Comm_dup(comm.get(), &twin), "duplicate");
    announcements = MpiHandle(twin);
  }
  return std::make_unique<MpiCommunicator>(std::move(comm), std::move(announcements), rank, size,
                                           std::move(name), options);
}

}  // namespace switchyard::parallel

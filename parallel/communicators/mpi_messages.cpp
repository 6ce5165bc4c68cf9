#include "parallel/communicators/mpi_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/runtime/check.h"

namespace switchyard::parallel {

void check_mpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw PeerError(fmt::format("{}: MPI reports: {}", what,
                              std::string_view(text.data(), static_cast<std::size_t>(length))));
}

namespace {

/// Where a sum's messages land before they are added: small enough to stay in the second-level cache.
constexpr std::int64_t kSumMessageBytes = std::int64_t{256} << 10;
constexpr std::size_t kSumBuffers = 4;

template <typename Post>
void for_each_message(std::int64_t bytes, std::int64_t message_bytes, Post post) {
  for (std::int64_t at = 0; at < bytes; at += message_bytes) post(at, std::min(message_bytes, bytes - at));
}

void send_piece(const MessageChannel& channel, std::vector<MPI_Request>& requests, const std::byte* data,
                std::int64_t bytes, std::int64_t message_bytes, int peer) {
  for_each_message(bytes, message_bytes, [&](std::int64_t at, std::int64_t length) {
    requests.push_back(MPI_REQUEST_NULL);
    check_mpi(MPI_Isend(data + at, static_cast<int>(length), MPI_BYTE, peer, channel.tag, channel.comm,
                        &requests.back()),
              "send");
  });
}

bool test_all(std::vector<MPI_Request>& requests) {
  int done = 0;
  check_mpi(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
            "test");
  return done != 0;
}

void wait_all(std::vector<MPI_Request>& requests) {
  check_mpi(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE), "wait");
  requests.clear();
}

class Exchange final : public Pending {
 public:
  Exchange(const MessageChannel& channel, std::span<const std::byte> send, std::span<std::byte> receive,
           const ExchangeSizes& sizes) {
    for (int step = 1; step < channel.size; ++step) {
      const int peer = (channel.rank + channel.size - step) % channel.size;
      const auto p = static_cast<std::size_t>(peer);
      for_each_message(
          sizes.receive_bytes[p], channel.message_bytes, [&](std::int64_t at, std::int64_t length) {
            requests_.push_back(MPI_REQUEST_NULL);
            check_mpi(MPI_Irecv(receive.data() + sizes.receive_offsets[p] + at, static_cast<int>(length),
                                MPI_BYTE, peer, channel.tag, channel.comm, &requests_.back()),
                      "receive");
          });
    }
    for (int step = 1; step < channel.size; ++step) {
      const int peer = (channel.rank + step) % channel.size;
      const auto p = static_cast<std::size_t>(peer);
      send_piece(channel, requests_, send.data() + sizes.send_offsets[p], sizes.send_bytes[p],
                 channel.message_bytes, peer);
    }
    const auto self = static_cast<std::size_t>(channel.rank);
    if (sizes.send_bytes[self] > 0) {
      std::memcpy(receive.data() + sizes.receive_offsets[self], send.data() + sizes.send_offsets[self],
                  static_cast<std::size_t>(sizes.send_bytes[self]));
    }
  }
  void wait() override { wait_all(requests_); }
  bool poll() override { return test_all(requests_); }

 private:
  std::vector<MPI_Request> requests_;
};

class SumExchange final : public Pending {
 public:
  SumExchange(const MessageChannel& channel, std::span<const std::int64_t> in, std::span<std::int64_t> out,
              std::span<const std::int64_t> counts)
      : channel_(channel), out_(out) {
    const std::int64_t bytes = std::min(kSumMessageBytes, channel.message_bytes) / 8 * 8;
    SWITCHYARD_CHECK(bytes >= 8, "a sum's messages hold whole values; got at most {} bytes",
                     channel.message_bytes);
    message_values_ = bytes / 8;
    messages_per_peer_ = (std::ssize(out) + message_values_ - 1) / message_values_;
    messages_ = messages_per_peer_ * (channel.size - 1);
    const auto buffers = std::min<std::int64_t>(kSumBuffers, messages_);
    for (std::int64_t b = 0; b < buffers; ++b) {
      buffers_.emplace_back(static_cast<std::size_t>(std::min(message_values_, std::ssize(out))));
      receives_.push_back(MPI_REQUEST_NULL);
      chunk_of_buffer_.push_back(0);
      post_receive(static_cast<std::size_t>(b));
    }
    std::vector<std::int64_t> begin(counts.size() + 1, 0);
    std::partial_sum(counts.begin(), counts.end(), begin.begin() + 1);
    for (int step = 1; step < channel.size; ++step) {
      const auto peer = static_cast<std::size_t>((channel.rank + step) % channel.size);
      send_piece(channel, sends_, reinterpret_cast<const std::byte*>(in.data() + begin[peer]),
                 counts[peer] * 8, bytes, static_cast<int>(peer));
    }
    const std::int64_t* own = in.data() + begin[static_cast<std::size_t>(channel.rank)];
    if (own != out.data()) std::copy(own, own + out.size(), out.data());
  }

  void wait() override {
    while (added_ < messages_) {
      int index = MPI_UNDEFINED;
      check_mpi(MPI_Waitany(static_cast<int>(receives_.size()), receives_.data(), &index, MPI_STATUS_IGNORE),
                "wait for sums");
      take(static_cast<std::size_t>(index));
    }
    wait_all(sends_);
  }
  bool poll() override {
    while (added_ < messages_) {
      int index = MPI_UNDEFINED;
      int done = 0;
      check_mpi(
          MPI_Testany(static_cast<int>(receives_.size()), receives_.data(), &index, &done, MPI_STATUS_IGNORE),
          "test for sums");
      if (done == 0) return false;
      take(static_cast<std::size_t>(index));
    }
    return test_all(sends_);
  }

 private:
  // Chunk by chunk through all peers, so that a chunk of `out` is added to while it is in cache. Messages of
  // one peer arrive in the order of their posting.
  void post_receive(std::size_t buffer) {
    if (posted_ == messages_) return;
    const std::int64_t chunk = posted_ / (channel_.size - 1);
    const int step = static_cast<int>(posted_ % (channel_.size - 1)) + 1;
    const int peer = (channel_.rank + channel_.size - step) % channel_.size;
    chunk_of_buffer_[buffer] = chunk;
    check_mpi(MPI_Irecv(buffers_[buffer].data(), static_cast<int>(chunk_values(chunk) * 8), MPI_BYTE, peer,
                        channel_.tag, channel_.comm, &receives_[buffer]),
              "receive of sums");
    ++posted_;
  }
  void take(std::size_t buffer) {
    const std::int64_t chunk = chunk_of_buffer_[buffer];
    std::int64_t* to = out_.data() + chunk * message_values_;
    const std::int64_t* from = buffers_[buffer].data();
    const std::int64_t values = chunk_values(chunk);
    for (std::int64_t i = 0; i < values; ++i) to[i] += from[i];
    ++added_;
    post_receive(buffer);
  }
  std::int64_t chunk_values(std::int64_t chunk) const {
    return std::min(message_values_, std::ssize(out_) - chunk * message_values_);
  }

  MessageChannel channel_;
  std::span<std::int64_t> out_;
  std::int64_t message_values_ = 0;
  std::int64_t messages_per_peer_ = 0;
  std::int64_t messages_ = 0;  ///< that this rank receives
  std::int64_t posted_ = 0;
  std::int64_t added_ = 0;
  std::vector<std::vector<std::int64_t>> buffers_;
  std::vector<std::int64_t> chunk_of_buffer_;
  std::vector<MPI_Request> receives_;
  std::vector<MPI_Request> sends_;
};

}  // namespace

std::unique_ptr<Pending> start_exchange(const MessageChannel& channel, std::span<const std::byte> send,
                                        std::span<std::byte> receive, const ExchangeSizes& sizes) {
  return std::make_unique<Exchange>(channel, send, receive, sizes);
}

std::unique_ptr<Pending> start_sum_exchange(const MessageChannel& channel, std::span<const std::int64_t> in,
                                            std::span<std::int64_t> out,
                                            std::span<const std::int64_t> counts) {
  return std::make_unique<SumExchange>(channel, in, out, counts);
}

}  // namespace switchyard::parallel

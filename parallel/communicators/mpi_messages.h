// Pieces of any size between all ranks as nonblocking messages. Part of the MPI communicator.
#pragma once

#include <mpi.h>

#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

/// Throws PeerError with MPI's own words unless `code` is MPI_SUCCESS.
void check_mpi(int code, const char* what);

/// One group's channel for one started collective.
struct MessageChannel {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  int tag = 0;                     ///< differs between collectives under way at the same time
  std::int64_t message_bytes = 0;  ///< pieces are cut into messages of at most this
};

/// Sends and receives all pieces of an exchange; this rank's own piece is copied at once.
std::unique_ptr<Pending> start_exchange(const MessageChannel& channel, std::span<const std::byte> send,
                                        std::span<std::byte> receive, const ExchangeSizes& sizes);

/// out = the sum of all ranks' pieces for this rank. Received through a few buffers that stay in cache, added
/// as they come.
std::unique_ptr<Pending> start_sum_exchange(const MessageChannel& channel, std::span<const std::int64_t> in,
                                            std::span<std::int64_t> out,
                                            std::span<const std::int64_t> counts);

}  // namespace switchyard::parallel

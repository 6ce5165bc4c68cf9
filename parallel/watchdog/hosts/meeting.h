// How the first ranks of the hosts find rank 0 over TCP, once, at the start.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

/// A connected socket; the caller closes it.
struct Met {
  std::int64_t peer = 0;
  int socket = -1;
};

/// Rank 0 listens on an address of each of its networks, for as long as this call takes; the ranks `firsts`
/// connect to the first that they reach and show a random token that came over MPI. Returns the connections:
/// on rank 0 one to each, on the others one to rank 0. Collective; `is_first` says whether this rank takes
/// part. `failure` is set on all ranks alike, and nothing is left open, if one of them is not reached within
/// `together`.
std::vector<Met> meet(Communicator& world, const std::vector<std::int64_t>& firsts, bool is_first,
                      bool over_loopback, std::string& failure,
                      std::chrono::milliseconds together = std::chrono::seconds(15));

}  // namespace switchyard::parallel

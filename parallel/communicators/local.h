// Threads of one process as ranks: the same program as under mpirun, in a debugger or a thread sanitizer.
#pragma once

#include <functional>
#include <memory>

#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

/// Runs body once on each of `ranks` threads and returns when all have returned. When one throws, the others
/// get PeerError in the collective they are in or enter next, and the exception is rethrown here: the first
/// one that is no PeerError, since those tell of a peer's failure, or else the first. Ranks that wait for one
/// another in a way that cannot end (another collective, another order, a rank that has returned) get
/// PeerError naming who waits where. With one rank the body runs on the caller's thread.
void run_local(int ranks, const std::function<void(Communicator&)>& body);

/// The group of one rank, for programs that were not started as several. Its collectives are copies.
std::unique_ptr<Communicator> single_rank();

}  // namespace switchyard::parallel

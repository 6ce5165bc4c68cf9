// The comparison of layouts behind `switchyard verify`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/verify/layout_run.h"
#include "parallel/communicators/communicator.h"
#include "parallel/communicators/mpi.h"

namespace switchyard::app {

/// What is compared with one rank, one thread.
struct VerifyCase {
  std::string name;  ///< "4 ranks, expert axis 2"
  LayoutSpec spec;
};

struct Verdict {
  VerifyCase tried;
  std::string difference;  ///< the first; empty if every bit is equal
  double seconds = 0;
};

/// The layouts that threads of one process can take: ranks x expert axes that divide the experts, two
/// threads, recomputation, bounded exchange, resuming elsewhere. `all`: also the large ones.
std::vector<VerifyCase> local_cases(const Config& small, bool all);
/// Those of a world of `ranks` processes.
std::vector<VerifyCase> world_cases(const Config& small, int ranks);

/// Runs the reference and each case on threads as ranks, and tells of each verdict as it comes.
std::vector<Verdict> verify_on_threads(const Config& small, const std::vector<VerifyCase>& cases,
                                       const LayoutHooks& hooks,
                                       const std::function<void(const Verdict&)>& tell);
/// The same on a world, of which this rank is at `place`. Collective; verdicts are the same on all ranks.
std::vector<Verdict> verify_on_world(const Config& small, const std::vector<VerifyCase>& cases,
                                     parallel::Communicator& world, const parallel::HostPlace& place,
                                     const std::function<void(const Verdict&)>& tell);

}  // namespace switchyard::app

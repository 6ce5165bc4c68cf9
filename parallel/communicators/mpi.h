// Processes as ranks, over MPI.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>

#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

struct MpiOptions {
  /// Before each collective the ranks tell each other what they enter, so that a mismatch is an error and not
  /// a hang. Costs a small message to each peer; on by default in builds with assertions.
#ifdef NDEBUG
  bool check_participation = false;
#else
  bool check_participation = true;
#endif
  /// How long that check waits for a peer before it says who is missing.
  std::chrono::milliseconds participation_timeout{300'000};

  /// How rows and sums travel; README.md has the figures behind the defaults.
  enum class Transport : std::uint8_t { messages, collective };
  Transport all_to_all = Transport::messages;
  Transport reduce_scatter = Transport::messages;
  /// Greatest single message. MPI counts in 32 bits, so larger pieces are cut; tests set it low to cut small
  /// ones.
  std::int64_t message_bytes = std::int64_t{1} << 30;
};

/// Where a rank sits, for sharing out a host's cores.
struct HostPlace {
  std::string host;
  int rank_on_host = 0;
  int ranks_on_host = 1;
};

/// MPI from start to end: one per process. Started without a launcher it is one rank and MPI is not touched.
class MpiWorld {
 public:
  /// Throws UserError when Slurm started several tasks that cannot see each other, DeviceError when MPI
  /// cannot be used from threads.
  explicit MpiWorld(const MpiOptions& options = {});
  /// Waits for all ranks and closes MPI. While an exception unwinds it does neither: use run_ranks.
  ~MpiWorld();
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  Communicator& communicator();
  const HostPlace& place() const;
  /// Is destroyed when MPI has been closed: for what follows the ranks until then.
  void keep(std::shared_ptr<void> companion);
  /// Prints "<host> rank <r>: <cause>" to stderr, if no other rank of this host has printed its cause, and
  /// ends all ranks; the launcher returns exit_code. May be called from any thread.
  [[noreturn]] void fail(int exit_code, const std::string& cause);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Calls body on every rank and returns its value, which all ranks agree on by then. When body throws on any
/// rank, that rank prints its cause and all ranks end with exit_code(exception).
int run_ranks(const MpiOptions& options, const std::function<int(MpiWorld&)>& body,
              const std::function<int(const std::exception&)>& exit_code);

}  // namespace switchyard::parallel

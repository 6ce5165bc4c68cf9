// Watches the ranks of a run from each of them, without MPI: a thread reads the board, names the rank that
// hangs or is gone, lets every rank keep its flight record, and leaves.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "parallel/watchdog/guardian.h"
#include "parallel/watchdog/hosts/side_channel.h"
#include "parallel/watchdog/judge/judge.h"
#include "parallel/watchdog/judge/process.h"
#include "parallel/watchdog/judge/slow.h"
#include "parallel/watchdog/record/board.h"
#include "parallel/watchdog/record/recorder.h"

namespace switchyard::parallel {

/// Where a rank runs.
struct RankPlace {
  std::int64_t rank = 0;
  std::string host;
  ProcessId process;
  std::int64_t ring = -1;  ///< its place among the ranks of this host; -1 on another
  std::int64_t first = 0;  ///< the first rank of its host
};

struct WatchdogOptions {
  bool is_enabled = true;  ///< false: events are kept, nobody is watched
  Limits limits;
  double slow_ratio = 1.25;      ///< 1 or less: nobody is slow
  std::int64_t slow_steps = 10;  ///< of a window; two in a row name a rank
  /// Each rank is taken for a host of its own: how the way between hosts is tried on one machine.
  bool ranks_as_hosts = false;
  int hung_code = 0;  ///< exit codes for the two fates
  int dead_code = 0;
};

/// What the program does with findings. Called on the watching thread, except for record, which may also be
/// called by failing().
struct WatchdogActions {
  /// Keeps a flight record: the rank's last events, oldest first. Must not throw.
  std::function<void(const RankPlace& who, std::span<const Event> events, const std::string& why)> record;
  /// Prints the cause; once on each host.
  std::function<void(Fate fate, const std::string& text)> tell;
  /// Called on rank 0.
  std::function<void(const std::string& text)> warn;
};

class Watchdog {
 public:
  /// Collective over `world`, which is not used afterwards. Throws DeviceError on all ranks alike when the
  /// host has no shared memory left.
  Watchdog(Communicator& world, const std::string& host, const WatchdogOptions& options,
           WatchdogActions actions, const GuardianLink& guardian);
  /// The rank has closed MPI and may end.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  Recorder& recorder() { return *recorder_; }
  /// Whether other ranks watch this one.
  bool has_peers() const { return board_ != nullptr; }
  /// This rank ends all with an error of its own: it keeps its flight record and gives the ranks of its host
  /// a moment to keep theirs. Nobody is accused from here on.
  void failing(int exit_code, const std::string& cause);

 private:
  struct Thread;
  void introduce(Communicator& world, const std::string& host);
  void open_board(Communicator& world);
  void connect_hosts(Communicator& world);
  void watch();
  void look();
  std::vector<Sight> sights();
  bool peer_fails();
  [[noreturn]] void leave();
  void record(std::int64_t rank, const std::string& why);
  void wait_for_records();
  bool this_host_prints(const RankPlace& culprit) const;
  std::string verdict_text() const;
  RankStatus& status(std::int64_t rank) const;

  WatchdogOptions options_;
  WatchdogActions actions_;
  std::int64_t rank_;
  std::vector<RankPlace> places_;
  std::vector<Sight> last_sights_;
  std::unique_ptr<Board> board_;
  std::unique_ptr<RankStatus> own_status_;  // where there is no board
  std::unique_ptr<EventRing> own_ring_;
  std::unique_ptr<Recorder> recorder_;
  Judge judge_;
  SlowFinder slow_;
  double fails_since_ = -1;
  bool sees_all_ = false;
  std::uint64_t looks_ = 0;
  std::unique_ptr<SideChannel> channel_;  // on the first rank of a host, where there are several
  std::unique_ptr<Thread> thread_;        // last: it uses the rest
};

}  // namespace switchyard::parallel

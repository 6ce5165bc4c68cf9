// The life of an NCCL communicator: started, used, ended or aborted. Waiting is polling, so that an error or
// a peer that never comes ends the wait; the first failure aborts the communicator, once, and says why from
// then on.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "parallel/communicators/communicator.h"
#include "parallel/communicators/device/nccl/nccl_calls.h"

namespace switchyard::parallel {

struct NcclLimits {
  std::chrono::milliseconds start{120'000};       ///< for all ranks to find each other
  std::chrono::milliseconds collective{600'000};  ///< for one collective, from its start
};

/// Time, for tests to script.
struct PollClock {
  std::function<std::chrono::steady_clock::time_point()> now = [] {
    return std::chrono::steady_clock::now();
  };
  std::function<void()> pause;  ///< between two polls; the default yields, then sleeps 20 us
  PollClock();
};

class NcclGroup {
 public:
  /// Collective over the group's ranks. Throws PeerError (an error of NCCL or of a peer) or HangError (nobody
  /// came in time), both naming the group, after aborting.
  NcclGroup(std::unique_ptr<NcclCalls> calls, const NcclId& id, std::string name, int rank, int size,
            const NcclLimits& limits, PollClock clock = {});
  /// Ends in order; aborts instead while an exception unwinds or work is under way: peers may be gone.
  ~NcclGroup();
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  /// A collective under way.
  struct Work {
    Call call;
    std::int64_t mark = 0;
    std::chrono::steady_clock::time_point begun;
  };
  /// Sends off what `issue` asks of the calls, as one collective, ordered after the caller's queue.
  Work start(const Call& call, const std::function<NcclStatus(NcclCalls&)>& issue);
  /// Returns when the device has done it. Throws as the constructor.
  void wait(const Work& work);
  /// The same without waiting: true once it is done.
  bool poll(const Work& work);

 private:
  enum class Life : std::uint8_t { starting, ready, aborted };

  bool advance(const Work& work);
  void settle(NcclStatus status, const std::string& what, std::chrono::steady_clock::time_point deadline);
  void check_alive(const std::string& what) const;
  [[noreturn]] void fail(const std::string& what, NcclStatus status);
  [[noreturn]] void time_out(const std::string& what, std::chrono::milliseconds limit);
  void abort(const std::string& why);

  std::unique_ptr<NcclCalls> calls_;
  std::string name_;
  int rank_;
  NcclLimits limits_;
  PollClock clock_;
  Life life_ = Life::starting;
  std::string why_aborted_;
  std::int64_t begun_ = 0;
  std::int64_t done_ = 0;
};

}  // namespace switchyard::parallel

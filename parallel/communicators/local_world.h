// How threads meet in a collective: each posts what it offers, the last one to come lets all read, and nobody
// leaves before all have read. Part of local.cpp, apart for its size.
#pragma once

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>

#include "kernels/runtime/threads.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

struct LocalGroup;

/// What one rank offers the others in one collective.
struct LocalOffer {
  bool posted = false;
  Call call;
  const void* data = nullptr;
  std::span<const std::int64_t> sizes;    ///< all_to_all_v: bytes for each peer
  std::span<const std::int64_t> offsets;  ///< all_to_all_v: where in data
  int color = 0;
  int key = 0;
};

/// One collective of one group under way.
struct LocalMeeting {
  explicit LocalMeeting(std::size_t ranks) : offers(ranks) {}
  std::vector<LocalOffer> offers;
  std::size_t arrived = 0;
  std::size_t reading = 0;
  std::size_t done = 0;
  std::map<int, std::shared_ptr<LocalGroup>> groups;  ///< of a split, by color
};

/// All ranks of one run_local. One lock serves all groups: a meeting moves bytes outside of it.
class LocalWorld {
 public:
  explicit LocalWorld(int ranks) : waits_(static_cast<std::size_t>(ranks)), ended_(waits_.size(), false) {}

  /// Puts this rank's offer into the group's meeting number `sequence`.
  std::shared_ptr<LocalMeeting> post(LocalGroup& group, int rank, const LocalOffer& offer);
  /// Waits for all offers, calls read() once, then waits until all have read. Throws PeerError.
  void meet(const LocalGroup& group, int rank, LocalMeeting& meeting, kernels::FunctionRef<void()> read);
  bool complete(const LocalMeeting& meeting);
  /// For an offer whose handle goes away unread: fails the world, then waits until nobody reads the offer.
  void abandon(const LocalGroup& group, int rank, LocalMeeting& meeting);

  /// A rank's body has returned or thrown.
  void end(int world_rank, std::exception_ptr failure);
  /// Throws what ended the world, if a rank threw: the first exception that is no PeerError, or else the
  /// first.
  void rethrow() const;

  std::mutex& lock() { return lock_; }

 private:
  enum class Phase { arrive, read };
  struct Wait {
    const LocalGroup* group = nullptr;
    LocalMeeting* meeting = nullptr;
    int rank = 0;
    Phase phase = Phase::arrive;
    bool over() const;
  };
  void wait(std::unique_lock<std::mutex>& held, const LocalGroup& group, int rank, LocalMeeting& meeting,
            Phase phase);
  void fail(const std::string& cause);
  void look_for_standstill();
  std::string waits_text() const;

  std::mutex lock_;
  std::condition_variable changed_;
  std::vector<Wait> waits_;  ///< by world rank; meeting is null while the rank runs
  std::vector<bool> ended_;
  bool failed_ = false;
  std::string cause_;
  std::exception_ptr thrown_;
};

struct LocalGroup {
  std::shared_ptr<LocalWorld> world;
  std::vector<int> members;  ///< world rank of each rank of the group
  std::string name;
  std::map<std::int64_t, std::shared_ptr<LocalMeeting>> meetings;
};

}  // namespace switchyard::parallel

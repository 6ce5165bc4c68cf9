// One live run per checkpoint folder.
//
// run.lock names the owner: host, boot, process, its start time, and a count that the owner raises while it
// lives. An owner on this host is alive if that boot and that process (by start time, so that a reused number
// does not count) are. Of an owner on another host or boot only the count can tell: if it stands still for
// `lease`, the owner is gone. No clock of two hosts is ever compared. Every look and change happens under an
// advisory lock on a guard file, which the kernel drops when its holder dies.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "data/io/io.h"

namespace switchyard::data {

struct LockOwner {
  std::string host;
  std::string boot_id;
  std::int64_t pid = 0;
  std::int64_t start_ticks = 0;  // since boot; field 22 of /proc/PID/stat
  std::string nonce;             // differs between two locks of one process
  std::int64_t beat = 0;

  /// This process, with a fresh nonce.
  static LockOwner self();
  std::string text() const;
  /// Throws DataError unless text() could have made it.
  static LockOwner parse(std::string_view text);
  bool is_same(const LockOwner& other) const;
  /// "process 41 on node7"
  std::string description() const;
};

enum class OwnerState { alive, gone, out_of_sight };
/// Judges `owner` from where `self` is, by /proc.
OwnerState judge_owner(const LockOwner& owner, const LockOwner& self);

struct RunLockOptions {
  /// How long the count of an owner on another host must stand still before its lock is taken over.
  std::chrono::milliseconds lease = std::chrono::seconds(60);
  LockOwner self = LockOwner::self();
};

/// Held from construction to destruction. A thread raises the count six times per lease.
class RunLock {
 public:
  /// Creates `root` if absent. Throws UserError naming the owner when a live run has the folder. Waits up to
  /// one lease when the owner is on another host.
  RunLock(Io& io, std::filesystem::path root, RunLockOptions options = {});
  /// Removes run.lock if it is still ours.
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  const std::filesystem::path& root() const { return root_; }
  /// True once run.lock was seen to name somebody else (this process stood still for longer than the lease,
  /// and another took over): stop without saving.
  bool is_lost() const;

 private:
  void acquire();
  void write_lock(const LockOwner& owner);
  void beat();
  void run();

  Io& io_;
  std::filesystem::path root_;
  RunLockOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable ended_;
  bool is_ending_ = false;
  bool is_lost_ = false;
  std::thread thread_;
};

}  // namespace switchyard::data

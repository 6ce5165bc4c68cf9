// Which checkpoints stay, and clearing away what saves and deletions that died have left.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/checkpoint/keep/run_lock.h"
#include "data/checkpoint/load/verify.h"
#include "data/io/io.h"

namespace switchyard::data {

struct RetentionPolicy {
  /// Newest verified checkpoints that stay; at least 1.
  int keep = 3;
  /// Steps that are multiples of this stay for good; 0: none.
  std::int64_t keep_every = 0;
  /// Whose checkpoints may be deleted; every run's when empty.
  std::optional<std::string> run;
  /// Steps whose digests this process has checked (or written) already: only their manifest and sizes are
  /// looked at again.
  std::set<std::int64_t> verified_steps;
};

struct RetentionReport {
  std::vector<std::int64_t> kept;     // newest first; those that this process has checked
  std::vector<std::int64_t> deleted;  // newest first
  /// Newer than the oldest of the `keep` and damaged, or not ours. Left alone: a person should look.
  std::vector<Rejection> rejections;
};

/// Deletes checkpoints older than the `keep` newest that verify. Nothing is deleted unless `keep` verify, and
/// nothing is read where there are no more than `keep`.
/// Each is first withdrawn (renamed to a dot name, parent synced), then deleted. Throws UserError if keep < 1
/// or keep_every < 0, DiskError.
RetentionReport apply_retention(Io& io, const std::filesystem::path& root, const RetentionPolicy& policy);

/// Deletes `.tmp-` and `.trash-` folders in the root of the lock and returns their names. The lock is the
/// proof that no other live run owns them; call before own saves start. What cannot be deleted is left for
/// the next time.
std::vector<std::string> clean_abandoned(Io& io, const RunLock& lock);

}  // namespace switchyard::data

#include "data/checkpoint/keep/retention.h"

#include <fmt/format.h>

#include "data/checkpoint/format/names.h"
#include "data/checkpoint/keep/remove.h"

namespace switchyard::data {
namespace {

constexpr std::string_view kTag = "retention";

void check_policy(const RetentionPolicy& policy) {
  if (policy.keep < 1)
    throw UserError(fmt::format("checkpoint: checkpoint.keep must be at least 1; got {}", policy.keep));
  if (policy.keep_every < 0)
    throw UserError(
        fmt::format("checkpoint: checkpoint.keep_every must not be negative; got {}", policy.keep_every));
}

}  // namespace

RetentionReport apply_retention(Io& io, const std::filesystem::path& root, const RetentionPolicy& policy) {
  check_policy(policy);
  RetentionReport report;
  const std::vector<Listing::Candidate> candidates = list_checkpoints(io, root).candidates;
  // Whoever keeps a thousand must not read a thousand manifests after every save.
  if (candidates.size() <= static_cast<std::size_t>(policy.keep)) {
    for (const auto& candidate : candidates)
      if (policy.verified_steps.count(candidate.step) != 0) report.kept.push_back(candidate.step);
    return report;
  }
  for (const auto& candidate : candidates) {
    const bool is_enough = report.kept.size() >= static_cast<std::size_t>(policy.keep);
    const bool is_milestone = policy.keep_every > 0 && candidate.step % policy.keep_every == 0;
    if (is_enough && is_milestone) continue;
    // Candidates for deletion need only prove whose they are: a manifest that does not read proves nothing.
    Expectation expectation{policy.run, !is_enough && policy.verified_steps.count(candidate.step) == 0};
    std::optional<Rejection> rejection;
    if (is_enough) {
      try {
        const Manifest manifest = read_manifest(io, candidate.path);
        if (policy.run && manifest.run != *policy.run)
          rejection = Rejection{
              candidate.path, "the checkpoint belongs to another run", {}, 0, 0, *policy.run, manifest.run};
      } catch (const Error& error) {
        rejection = Rejection{candidate.path, error.what(), {}, 0, 0, "", ""};
      }
    } else {
      rejection = verify_checkpoint(io, candidate.path, expectation);
    }
    if (rejection) {
      report.rejections.push_back(std::move(*rejection));
    } else if (is_enough) {
      withdraw(io, candidate.path, kTag);
      report.deleted.push_back(candidate.step);
    } else {
      report.kept.push_back(candidate.step);
    }
  }
  return report;
}

std::vector<std::string> clean_abandoned(Io& io, const RunLock& lock) {
  std::vector<std::string> removed;
  for (const auto& name : io.list(lock.root())) {
    if (name.rfind(kAttemptPrefix, 0) != 0 && name.rfind(kTrashPrefix, 0) != 0) continue;
    try {
      remove_tree(io, lock.root() / name);
      removed.push_back(name);
    } catch (const Error&) {  // the next start tries again
    }
  }
  return removed;
}

}  // namespace switchyard::data

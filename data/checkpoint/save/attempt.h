// Making a checkpoint: begin (one caller), write parts (anybody), commit (one caller, once all parts are
// reported). The rename inside commit is the moment from which the checkpoint exists. There is no pointer
// file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/checkpoint/format/manifest.h"
#include "data/checkpoint/format/part.h"
#include "data/io/io.h"

namespace switchyard::data {

struct AttemptSpec {
  std::int64_t step = 0;
  /// Makes the folder's name differ from every other attempt's: job id and a random text.
  std::string job;
  std::string nonce;
  /// Bytes that all parts together will take (part_file_bytes, or the size of the checkpoint before). The
  /// file system must have a tenth more.
  std::int64_t expected_bytes = 0;
};

/// Creates the folder of an attempt inside `root` (created if absent) and returns its path. Throws DiskError
/// when there is too little space, before anything is written.
std::filesystem::path begin_attempt(Io& io, const std::filesystem::path& root, const AttemptSpec& spec);

/// What the committer adds to the parts.
struct CommitSpec {
  std::int64_t step = 0;
  std::string run;
  std::string config_digest;
  State state;
  std::vector<std::string> continuation;  // keys of state; see Manifest
};

/// Checks that the parts together hold every tensor once, writes the manifest, syncs, renames to the final
/// name, syncs the parent. Returns the checkpoint's path. A damaged checkpoint that already has the name is
/// withdrawn first. Throws CheckpointError: a part missing or given twice, elements missing or given twice,
/// dtype or shape that differ between parts, a part file that has not the reported size, a valid checkpoint
/// of that step. Throws DiskError from the file system. After any throw the caller abandons the attempt;
/// whether the checkpoint exists is then for the next find_newest to say.
std::filesystem::path commit(Io& io, const std::filesystem::path& attempt, const CommitSpec& spec,
                             std::span<const PartRecord> parts);

/// Deletes an attempt. True if nothing is left of it; what could not be deleted is left to clean_abandoned.
/// Throws nothing of class Error.
bool abandon(Io& io, const std::filesystem::path& attempt);

}  // namespace switchyard::data

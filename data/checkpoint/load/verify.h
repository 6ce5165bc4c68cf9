// Finding the newest checkpoint that is whole, and saying why others were passed over.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "data/checkpoint/format/manifest.h"
#include "data/io/io.h"

namespace switchyard::data {

/// Why a folder is not used.
struct Rejection {
  std::filesystem::path path;  // of the folder, or of the file at fault inside it
  std::string reason;
  std::optional<int> chunk;         // of kChunkBytes, when the fault lies in one
  std::int64_t begin = 0, end = 0;  // bytes of the file at fault; 0, 0: no particular ones
  std::string expected, found;      // digests or sizes; empty where they say nothing

  /// One line: path, byte range, reason, expected, found.
  std::string text() const;
};

/// What the caller requires beyond integrity.
struct Expectation {
  /// Refuse checkpoints of other runs; any run passes when empty.
  std::optional<std::string> run;
  /// False: look at the manifest and the sizes only. For lists, never for a resume.
  bool check_digests = true;
  /// find_newest passes later steps over without a word.
  std::int64_t newest_step = std::numeric_limits<std::int64_t>::max();
};

/// Checks manifest, then sizes, then digests. Empty: the checkpoint is whole. Never throws of class Error.
std::optional<Rejection> verify_checkpoint(Io& io, const std::filesystem::path& folder,
                                           const Expectation& expectation);

struct Listing {
  struct Candidate {
    std::int64_t step;
    std::filesystem::path path;
  };
  std::vector<Candidate> candidates;  // newest first; by name only, nothing has been opened
  std::vector<Rejection> refused;     // everything else in the folder but our own lock files
};

/// Names in `root`; an absent root is empty. Throws DiskError or UserError if it cannot be read.
Listing list_checkpoints(Io& io, const std::filesystem::path& root);

struct Newest {
  std::optional<Listing::Candidate> checkpoint;
  /// Folders with the name of a checkpoint, whole or not.
  std::size_t num_candidates = 0;
  /// Newer folders that failed, newest first, then names that were never considered.
  std::vector<Rejection> rejections;
};

/// The newest checkpoint in `root` that verifies. Throws as list_checkpoints.
Newest find_newest(Io& io, const std::filesystem::path& root, const Expectation& expectation);

/// Reads and checks the manifest of a checkpoint folder: see parse_manifest. The step must be the folder's.
/// Throws CheckpointError, DiskError, UserError or DataError.
Manifest read_manifest(Io& io, const std::filesystem::path& folder);

}  // namespace switchyard::data

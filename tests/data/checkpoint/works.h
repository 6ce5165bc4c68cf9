// The three works that faults strike (a save, a deletion, a recovery), on a folder prepared for them, and the
// promise that must hold whatever struck.
#pragma once

#include <filesystem>
#include <string>

#include "data/io/io.h"

namespace switchyard::data {

inline constexpr int kWorkKilobytes = 4;

enum class Work { save, deletion, recovery };

/// Before each work the root holds steps 1 and 2, and the leavings of a dead save and of a dead deletion;
/// each must leave 2, or 3 where it saves.
void prepare(Io& io, const std::filesystem::path& root);
/// Saves step 3, or deletes what is older than 2, or does what a starting run does: takes the lock, clears
/// up, finds and reads the newest, saves step 3, deletes older ones. Throws what the file system throws.
void perform(Work work, Io& io, const std::filesystem::path& root);

/// The promise: the newest valid checkpoint is the old (2) or the new (3) one and reads as it was written.
/// Empty, or what is wrong. Sets `step` to the one found.
std::string broken_promise(Io& io, const std::filesystem::path& root, std::int64_t* step = nullptr);
/// And a run can go on from there: clear up, save step 4, delete. Empty, or what is wrong.
std::string cannot_go_on(Io& io, const std::filesystem::path& root);

}  // namespace switchyard::data

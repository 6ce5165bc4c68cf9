// Which checkpoint a path means.
#pragma once

#include <filesystem>

#include "data/io/io.h"

namespace switchyard::app {

/// Whether a folder with a manifest.json is one that `prepare` made; checkpoints have a manifest of the same
/// name.
bool is_prepared_folder(const std::filesystem::path& folder);

/// The checkpoint that `path` means: itself, or the newest whole one of a run folder (what was passed over is
/// logged). Throws CheckpointError where there is none or it does not verify, UserError for a path that is
/// neither.
std::filesystem::path resolve_checkpoint(data::Io& io, const std::filesystem::path& path);

}  // namespace switchyard::app

#include "app/train/find_checkpoint.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "app/train/run_folder.h"
#include "data/checkpoint/format/manifest.h"
#include "data/checkpoint/format/names.h"
#include "data/checkpoint/load/verify.h"
#include "data/storage/file.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

bool is_prepared_folder(const std::filesystem::path& folder) {
  constexpr std::uint64_t kLimit = static_cast<std::uint64_t>(data::kMaxManifestBytes);
  return data::read_whole_file(folder / data::kManifestName, kLimit).find("\"switchyard tokens\"") !=
         std::string::npos;
}

std::filesystem::path resolve_checkpoint(data::Io& io, const std::filesystem::path& path) {
  if (std::filesystem::exists(path / data::kManifestName) && !is_prepared_folder(path)) {
    if (const auto rejection = data::verify_checkpoint(io, path, {}))
      throw CheckpointError(fmt::format("{}; take another checkpoint of the run", rejection->text()));
    return path;
  }
  const std::filesystem::path checkpoints = RunFolder{path}.checkpoints();
  if (!std::filesystem::is_directory(checkpoints))
    throw UserError(fmt::format("{} must be a run folder (with {}/) or a checkpoint (with {})", path.string(),
                                checkpoints.filename().string(), data::kManifestName));
  const data::Newest newest = data::find_newest(io, checkpoints, {});
  for (const data::Rejection& rejection : newest.rejections)
    spdlog::warn("checkpoint passed over: {}", rejection.text());
  if (!newest.checkpoint)
    throw CheckpointError(fmt::format("{} holds no whole checkpoint; train first", checkpoints.string()));
  return newest.checkpoint->path;
}

}  // namespace switchyard::app

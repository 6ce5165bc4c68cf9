#include "app/trained/trained_model.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>

#include "app/config/load.h"
#include "app/train/run_folder.h"
#include "data/checkpoint/format/names.h"
#include "data/checkpoint/load/verify.h"
#include "data/storage/file.h"
#include "kernels/runtime/error.h"
#include "moe/optim/optimizer.h"
#include "parallel/communicators/local.h"

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

namespace {

Config config_of(const data::Manifest& manifest, const std::filesystem::path& checkpoint) {
  const auto found = manifest.state.find("config");
  if (found == manifest.state.end() || !std::holds_alternative<std::string>(found->second))
    throw CheckpointError(fmt::format("{}: its state must have the text 'config'", checkpoint.string()));
  return parse_config(std::get<std::string>(found->second), checkpoint.string());
}

int thread_count(int wish) {
  return wish > 0 ? wish : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace

TrainedModel::TrainedModel(const std::filesystem::path& path, int threads, std::int64_t max_positions)
    : checkpoint_(resolve_checkpoint(io_, path)),
      manifest_(data::read_manifest(io_, checkpoint_)),
      state_(from_manifest(manifest_)),
      config_(config_of(manifest_, checkpoint_)),
      tokenizer_(data::tokenizer_from_json(state_.tokenizer)),
      context_(thread_count(threads)),
      world_(parallel::single_rank()) {
  const std::int64_t positions = std::max(max_positions, config_.model.max_sequence_length);
  const std::int64_t rows = config_.train.micro_batch * config_.data.sequence_length;
  mesh_ = std::make_unique<parallel::Mesh>(*world_, 1, config_.model.moe.experts);
  model_ =
      std::make_unique<moe::Model>(context_, config_.model, *mesh_, moe::ModelLimits{1, rows, positions, 0},
                                   static_cast<std::uint64_t>(config_.run.seed));
  load_slices(io_, checkpoint_, moe::model_state(*model_));
}

}  // namespace switchyard::app

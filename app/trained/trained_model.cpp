#include "app/trained/trained_model.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "app/config/load.h"
#include "app/train/rank_device.h"
#include "app/train/run_folder.h"
#include "data/checkpoint/format/names.h"
#include "data/checkpoint/load/verify.h"
#include "data/storage/file.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/threads.h"
#include "moe/optim/optimizer.h"
#include "parallel/communicators/local.h"

namespace switchyard::app {

namespace {

int thread_count(int wish) {
  return wish > 0 ? wish : kernels::available_cores();
}

}  // namespace

StoredModel read_stored_model(data::Io& io, const std::filesystem::path& path) {
  StoredModel stored;
  stored.checkpoint = resolve_checkpoint(io, path);
  const data::Manifest manifest = data::read_manifest(io, stored.checkpoint);
  stored.state = from_manifest(manifest);
  stored.config = config_from_manifest(manifest, stored.checkpoint.string());
  stored.tokenizer = data::tokenizer_from_json(stored.state.tokenizer);
  stored.has_tokenizer = knows_tokenizer(manifest);
  stored.is_imported =
      manifest.state.count(std::string(kOriginKey)) != 0 || !stored.config.train.init_from.empty();
  return stored;
}

TrainedModel::TrainedModel(const std::filesystem::path& path, int threads, DeviceChoice device,
                           std::int64_t max_positions)
    : stored_(read_stored_model(io_, path)),
      context_(thread_count(threads), kernels::chosen_isa(), choose_device(device, 0)),
      world_(parallel::single_rank()) {
  const Config& config = stored_.config;
  const std::int64_t positions = std::max(max_positions, config.model.max_sequence_length);
  const std::int64_t rows = config.train.micro_batch * config.data.sequence_length;
  mesh_ = std::make_unique<parallel::Mesh>(*world_, 1, config.model.moe.experts);
  model_ =
      std::make_unique<moe::Model>(context_, config.model, *mesh_, moe::ModelLimits{1, rows, positions, 0},
                                   static_cast<std::uint64_t>(config.run.seed));
  load_slices(io_, stored_.checkpoint, moe::model_state(*model_), context_);
  model_->use_state(context_);
}

}  // namespace switchyard::app

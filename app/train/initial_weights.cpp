#include "app/train/initial_weights.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "app/config/table/option.h"
#include "app/train/find_checkpoint.h"
#include "app/train/messages.h"
#include "data/checkpoint/load/verify.h"
#include "kernels/runtime/error.h"
#include "moe/optim/optimizer.h"

namespace switchyard::app {

namespace {

/// The checkpoint, verified by rank 0 for all. Collective.
std::filesystem::path find_for_all(Session& session, data::Io& io) {
  std::string path, refusal;
  std::int64_t kind = 0;
  if (session.world().rank() == 0) {
    try {
      path = resolve_checkpoint(io, session.config().train.init_from).string();
    } catch (const Error& error) {
      kind = static_cast<std::int64_t>(error.kind());
      refusal = fmt::format("train.init_from: {}", error.what());
    }
  }
  path = broadcast_text(session.world(), path);
  refusal = broadcast_text(session.world(), refusal);
  session.world().all_reduce_max(std::span(&kind, 1));
  if (!refusal.empty()) throw Error(static_cast<ErrorKind>(kind), refusal);
  return path;
}

void check_tokenizer(const data::Manifest& manifest, const RunState& state, const std::string& place) {
  if (!knows_tokenizer(manifest) || from_manifest(manifest).tokenizer == state.tokenizer) return;
  throw UserError(fmt::format(
      "train.init_from: the data must be prepared with the tokenizer of {}; it was prepared with another; "
      "run `switchyard prepare` again with that tokenizer",
      place));
}

void log_differences(const Config& before, const Config& after) {
  for (const Difference& difference : differences(before, after)) {
    const std::string_view path = difference.option->path;
    if (!path.starts_with("model.") || path == "model.init_std") continue;
    spdlog::warn("{} is {} and was {} where the weights come from", path, difference.after,
                 difference.before);
  }
}

}  // namespace

void load_initial_weights(Session& session, data::Io& io, const RunState& state) {
  const std::filesystem::path checkpoint = find_for_all(session, io);
  const data::Manifest manifest = data::read_manifest(io, checkpoint);
  check_tokenizer(manifest, state, checkpoint.string());
  load_slices(io, checkpoint, moe::model_state(session.model()), session.context());
  session.model().use_state(session.context());
  if (session.world().rank() != 0) return;
  spdlog::info("weights from {}", checkpoint.string());
  log_differences(config_from_manifest(manifest, checkpoint.string()), session.config());
}

}  // namespace switchyard::app

#include "app/train/run_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/config/load.h"
#include "app/config/table/write.h"
#include "data/checkpoint/load/reader.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/host_values.h"

namespace switchyard::app {

namespace {

std::int64_t integer(const data::State& state, const std::string& key) {
  const auto found = state.find(key);
  if (found == state.end() || !std::holds_alternative<std::int64_t>(found->second))
    throw CheckpointError(
        fmt::format("checkpoint: its state must have the integer '{}'; use another one", key));
  return std::get<std::int64_t>(found->second);
}

std::string text(const data::State& state, const std::string& key) {
  const auto found = state.find(key);
  if (found == state.end() || !std::holds_alternative<std::string>(found->second))
    throw CheckpointError(fmt::format("checkpoint: its state must have the text '{}'; use another one", key));
  return std::get<std::string>(found->second);
}

template <typename T>
void require_same(const T& saved, const T& configured, const char* key) {
  if (saved != configured)
    throw UserError(fmt::format(
        "{} was {} when the checkpoint was made and is {} now, so the run cannot go on from it; set it "
        "back, or start over with --fresh",
        key, saved, configured));
}

}  // namespace

RunState initial_state(const Config& config, const data::TokenDataset& data) {
  RunState state;
  state.seed = config.run.seed;
  state.sequence_length = config.data.sequence_length;
  state.global_batch = config.train.global_batch;
  state.data_digest = data.digest().text();
  state.tokenizer = data.tokenizer_json();
  return state;
}

data::State to_manifest(const RunState& state, const Config& config) {
  data::State entries = {{"step", state.step},
                         {"samples", state.samples},
                         {"updates", state.updates},
                         {"seed", state.seed},
                         {"sequence_length", state.sequence_length},
                         {"global_batch", state.global_batch},
                         {"data_digest", state.data_digest},
                         {"tokenizer", state.tokenizer},
                         {"config", config_yaml(config)}};
  // What most runs never have is left out, so that their checkpoints look alike.
  if (!state.skipped_batches.is_empty()) entries["skipped_batches"] = state.skipped_batches.text();
  if (state.skipped_in_a_row > 0) entries["skipped_in_a_row"] = state.skipped_in_a_row;
  if (!state.guard_losses.empty()) entries["guard_losses"] = state.guard_losses;
  if (!state.guard_norms.empty()) entries["guard_norms"] = state.guard_norms;
  return entries;
}

bool knows_tokenizer(const data::Manifest& manifest) {
  return manifest.state.count(std::string(kAssumedTokenizerKey)) == 0;
}

RunState from_manifest(const data::Manifest& manifest) {
  const data::State& state = manifest.state;
  const auto text_or_none = [&](const std::string& key) {
    return state.contains(key) ? text(state, key) : "";
  };
  RunState run;
  run.step = integer(state, "step");
  run.samples = integer(state, "samples");
  run.updates = integer(state, "updates");
  run.seed = integer(state, "seed");
  run.sequence_length = integer(state, "sequence_length");
  run.global_batch = integer(state, "global_batch");
  run.data_digest = text(state, "data_digest");
  run.skipped_batches = SkippedBatches::parse(text_or_none("skipped_batches"));
  if (state.contains("skipped_in_a_row")) run.skipped_in_a_row = integer(state, "skipped_in_a_row");
  run.guard_losses = text_or_none("guard_losses");
  run.guard_norms = text_or_none("guard_norms");
  run.tokenizer = text(state, "tokenizer");
  return run;
}

Config config_from_manifest(const data::Manifest& manifest, const std::string& place) {
  const auto found = manifest.state.find("config");
  if (found == manifest.state.end() || !std::holds_alternative<std::string>(found->second))
    throw CheckpointError(fmt::format("{}: its state must have the text 'config'", place));
  return parse_config(std::get<std::string>(found->second), place);
}

std::vector<std::string> continuation_keys(const data::State& state) {
  std::vector<std::string> keys;
  for (const char* key :
       {"step", "samples", "updates", "seed", "sequence_length", "global_batch", "data_digest",
        "skipped_batches", "skipped_in_a_row", "guard_losses", "guard_norms"})
    if (state.contains(key)) keys.emplace_back(key);
  return keys;
}

void check_can_resume(const RunState& state, const Config& config, const std::string& data_digest) {
  require_same(state.seed, config.run.seed, "run.seed");
  require_same(state.sequence_length, config.data.sequence_length, "data.sequence_length");
  require_same(state.global_batch, config.train.global_batch, "train.global_batch");
  require_same(state.data_digest, data_digest, "the content of data.train");
}

void load_slices(data::Io& io, const std::filesystem::path& checkpoint,
                 const std::vector<moe::StateSlice>& slices, kernels::Context& context) {
  data::CheckpointReader reader(io, checkpoint);
  for (const moe::StateSlice& slice : slices) {
    const data::TensorRecord* tensor = reader.find(slice.name);
    if (tensor == nullptr)
      throw CheckpointError(
          fmt::format("{}: holds no tensor '{}' that the model needs; give the model section it was "
                      "trained with",
                      checkpoint.string(), slice.name));
    if (tensor->dtype != slice.dtype || tensor->shape != slice.shape)
      throw CheckpointError(
          fmt::format("{}: tensor '{}' is {} [{}] but the model needs {} [{}]; give the model "
                      "section it was trained with",
                      checkpoint.string(), slice.name, dtype_name(tensor->dtype),
                      fmt::join(tensor->shape, ", "), dtype_name(slice.dtype), fmt::join(slice.shape, ", ")));
    kernels::HostEdit edit(context, slice.values());
    reader.read(slice.name, slice.begin, slice.end, edit.view().raw());
    edit.finish();
  }
}

}  // namespace switchyard::app

#include "app/train/run_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/config/table/write.h"
#include "data/checkpoint/load/reader.h"
#include "kernels/runtime/error.h"

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
  return {{"step", state.step},
          {"samples", state.samples},
          {"updates", state.updates},
          {"seed", state.seed},
          {"sequence_length", state.sequence_length},
          {"global_batch", state.global_batch},
          {"data_digest", state.data_digest},
          {"tokenizer", state.tokenizer},
          {"config", config_yaml(config)}};
}

RunState from_manifest(const data::Manifest& manifest) {
  const data::State& state = manifest.state;
  return {integer(state, "step"),     integer(state, "samples"),         integer(state, "updates"),
          integer(state, "seed"),     integer(state, "sequence_length"), integer(state, "global_batch"),
          text(state, "data_digest"), text(state, "tokenizer")};
}

std::vector<std::string> continuation_keys() {
  return {"step", "samples", "updates", "seed", "sequence_length", "global_batch", "data_digest"};
}

void check_can_resume(const RunState& state, const Config& config, const std::string& data_digest) {
  require_same(state.seed, config.run.seed, "run.seed");
  require_same(state.sequence_length, config.data.sequence_length, "data.sequence_length");
  require_same(state.global_batch, config.train.global_batch, "train.global_batch");
  require_same(state.data_digest, data_digest, "the content of data.train");
}

void load_slices(data::Io& io, const std::filesystem::path& checkpoint,
                 const std::vector<moe::StateSlice>& slices) {
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
    reader.read(slice.name, slice.begin, slice.end, slice.data);
  }
}

}  // namespace switchyard::app

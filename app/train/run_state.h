// What a checkpoint says beside its tensors, and loading one into a model on any layout.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "app/config/config.h"
#include "app/guard/skipped_batches.h"
#include "data/checkpoint/format/manifest.h"
#include "data/io/io.h"
#include "data/tokens/token_dataset.h"
#include "kernels/runtime/context.h"
#include "moe/model/state.h"

namespace switchyard::app {

struct RunState {
  std::int64_t step = 0;     ///< steps done
  std::int64_t samples = 0;  ///< sequences used: the data position
  std::int64_t updates = 0;  ///< steps that moved the weights
  std::int64_t seed = 0;
  std::int64_t sequence_length = 0;
  std::int64_t global_batch = 0;
  std::string data_digest;
  SkippedBatches skipped_batches;     ///< with `step` the data position
  std::int64_t skipped_in_a_row = 0;  ///< steps up to this one that moved no weight
  std::string guard_losses;           ///< windows of app/guard; empty without a policy
  std::string guard_norms;
  std::string tokenizer;  ///< JSON, so that a checkpoint can read and write text by itself
};

/// In the state of a checkpoint that no run has made: where its weights came from.
inline constexpr std::string_view kOriginKey = "origin";
/// In such a state, where the tokenizer is a guess: nothing said which one the weights were made with.
inline constexpr std::string_view kAssumedTokenizerKey = "tokenizer_is_assumed";
/// Whether the checkpoint's tokenizer is the one that its weights were made with.
bool knows_tokenizer(const data::Manifest& manifest);

/// The state of a run that has not started.
RunState initial_state(const Config& config, const data::TokenDataset& data);

data::State to_manifest(const RunState& state, const Config& config);
/// Throws CheckpointError naming a key that is missing or of the wrong type.
RunState from_manifest(const data::Manifest& manifest);
/// Keys of the state that decide how training goes on: they enter the checkpoint's digest.
std::vector<std::string> continuation_keys(const data::State& state);

/// The configuration that a checkpoint was made with; `place` names it. Throws CheckpointError, ConfigError.
Config config_from_manifest(const data::Manifest& manifest, const std::string& place);

/// Throws UserError unless a run of `config` on data of `data_digest` can go on from `state`; names the key.
void check_can_resume(const RunState& state, const Config& config, const std::string& data_digest);

/// Fills the slices from a checkpoint. Throws CheckpointError naming a tensor that is missing or of another
/// shape.
void load_slices(data::Io& io, const std::filesystem::path& checkpoint,
                 const std::vector<moe::StateSlice>& slices, kernels::Context& context);

}  // namespace switchyard::app

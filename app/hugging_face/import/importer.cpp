#include "app/hugging_face/import/importer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "app/config/config.h"
#include "app/config/load.h"
#include "app/config/table/write.h"
#include "app/hugging_face/import/check_tensors.h"
#include "app/hugging_face/import/continue_yaml.h"
#include "app/hugging_face/import/weights_checkpoint.h"
#include "app/hugging_face/output_folder.h"
#include "app/hugging_face/tokenizer/tokenizer_files.h"
#include "app/train/run_folder.h"
#include "app/train/run_state.h"
#include "data/storage/staging_folder.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

void pool_heads(moe::ModelConfig& model, std::unique_ptr<Elements>& elements, std::int64_t kv_heads) {
  if (kv_heads == 0 || kv_heads == model.kv_heads) return;
  if (kv_heads < 1 || model.kv_heads % kv_heads != 0)
    throw UserError(fmt::format("--kv-heads must divide the model's {} key/value heads; got {}",
                                model.kv_heads, kv_heads));
  elements = pooled_heads(std::move(elements), model, kv_heads);
  model.kv_heads = kv_heads;
}

void upcycle(moe::ModelConfig& model, std::unique_ptr<Elements>& elements, const ImportOptions& options) {
  if (options.upcycling.experts == 0) return;
  if (model.moe.experts > 0)
    throw UserError(
        fmt::format("--experts makes experts of a dense model; this one has {} already", model.moe.experts));
  if (options.top_k < 1 || options.top_k > options.upcycling.experts)
    throw UserError(
        fmt::format("--top-k must be 1..{} (--experts); got {}", options.upcycling.experts, options.top_k));
  model.moe.experts = options.upcycling.experts;
  model.moe.top_k = options.top_k;
  model.moe.expert_width = {moe::dense_width(model)};
  // Weights that sum to 1 over equal experts give the dense model's own output. Of one expert that would be a
  // constant 1, by which the router cannot learn.
  model.moe.renormalize = options.top_k > 1;
  elements = upcycled(std::move(elements), model, options.upcycling);
}

/// What a checkpoint says of the run that made it. Data and batches are the user's to choose later.
Config checkpoint_config(const moe::ModelConfig& model, const std::filesystem::path& output,
                         const std::string& place) {
  constexpr std::int64_t kLongest = 1024;
  Config config = default_config();
  config.run.name = run_name(output);
  config.data.train = "data/" + config.run.name;
  config.data.sequence_length = std::min(model.max_sequence_length, kLongest);
  config.model = model;
  resolve(config);
  try {
    return parse_config(config_yaml(config), place);
  } catch (const UserError& error) {
    throw DataError(
        fmt::format("{}: its model is outside of what this program trains:\n{}", place, error.what()));
  }
}

/// An id without a row of the embedding would read outside of it.
void check_ids(const FolderTokenizer& tokenizer, std::int64_t vocab_size, const ModelFolder& folder) {
  if (tokenizer.vocab_size > vocab_size)
    throw DataError(
        fmt::format("{}: its ids must be below the vocab_size of config.json, {}; it has {}. Take out the "
                    "tokens that the model does not know, or give the embedding their rows",
                    (folder.path() / "tokenizer.json").string(), vocab_size, tokenizer.vocab_size - 1));
}

}  // namespace

ImportReport import_model(data::Io& io, const ImportOptions& options) {
  check_output(options.output, options.replace, kContinueName);
  ModelFolder folder(io, options.folder);
  ImportReport report;
  report.description = read_model_description(folder.config(), folder.config_place());
  report.files = folder.files().size();
  report.tensors = static_cast<std::int64_t>(folder.tensors().size());
  moe::ModelConfig model = report.description.model;
  const auto pieces = tensor_pieces(traits_of(report.description.family), model, model.vocab_size);
  check_tensors(folder, pieces, model.tied_head);
  std::unique_ptr<Elements> elements = folder_elements(folder, pieces);
  pool_heads(model, elements, options.kv_heads);
  upcycle(model, elements, options);

  const FolderTokenizer tokenizer = read_tokenizer(folder);
  check_ids(tokenizer, model.vocab_size, folder);
  const Config config = checkpoint_config(model, options.output, folder.config_place());
  RunState state;
  state.seed = config.run.seed;
  state.sequence_length = config.data.sequence_length;
  state.global_batch = config.train.global_batch;
  state.tokenizer = tokenizer.json;

  data::StagingFolder staging(options.output);
  WeightsCheckpoint checkpoint;
  checkpoint.run = "imported";
  checkpoint.state = to_manifest(state, config);
  if (tokenizer.name.empty()) checkpoint.state[std::string(kAssumedTokenizerKey)] = std::int64_t{1};
  checkpoint.state[std::string(kOriginKey)] =
      fmt::format("import {}", traits_of(report.description.family).model_type);
  checkpoint.continuation = continuation_keys(checkpoint.state);
  checkpoint.progress = options.progress;
  const auto written = write_weights(io, RunFolder{staging.path()}.checkpoints(),
                                     moe::parameter_specs(config.model), *elements, checkpoint);
  data::write_whole_file(io, staging.path() / kContinueName, continue_yaml(config, options.output));
  staging.commit(options.replace);

  report.model = config.model;
  report.parameters = written.elements;
  report.tokenizer = tokenizer.name;
  report.checkpoint = RunFolder{options.output}.checkpoints() / written.folder_name;
  report.yaml = options.output / kContinueName;
  return report;
}

}  // namespace switchyard::app

#include "app/commands/evaluate.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "app/command_line/arguments.h"
#include "app/command_line/device_option.h"
#include "app/exit_code.h"
#include "app/train/evaluation.h"
#include "app/trained/trained_model.h"

namespace switchyard::app {

namespace {

// Bytes of text behind the predicted tokens: what the loss is spread over for bits per byte. End-of-document
// tokens stand for no bytes, but predicting them costs bits that count.
std::uint64_t text_bytes(const data::TokenDataset& dataset, const data::Tokenizer& tokenizer, std::int64_t T,
                         std::uint64_t tokens) {
  std::uint64_t bytes = 0;
  std::vector<std::int32_t> chunk(static_cast<std::size_t>(T));
  for (std::uint64_t at = 0; at < tokens; at += static_cast<std::uint64_t>(T)) {
    dataset.tokens(at + 1, static_cast<std::uint64_t>(T), chunk.data());
    bytes += tokenizer.decode(chunk).size();
  }
  return bytes;
}

}  // namespace

int run_evaluate(const Arguments& arguments) {
  CLI::App command(
      "Loss, perplexity and bits per byte of a trained model on prepared data:\n"
      "  switchyard evaluate runs/quickstart --data data/quickstart\n"
      "Prints one JSON object.",
      "switchyard evaluate");
  std::filesystem::path path;
  std::string folder, split = "validation";
  std::int64_t batches = 0;
  int threads = 0;
  DeviceChoice device = DeviceChoice::cpu;
  LogOptions log;
  log.level = "warn";
  command.add_option("RUN", path, "run folder or checkpoint folder")->required();
  command.add_option("--data", folder, "prepared folder; default: the one it was trained on");
  command.add_option("--split", split, "validation or train")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "validation"}));
  command.add_option("--batches", batches, "micro-batches to use; 0 = the whole split")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command.add_option("--threads", threads, "0 = all cores; does not change the result")
      ->capture_default_str();
  add_device_option(command, device);
  add_log_arguments(command, log);
  if (!parse_arguments(command, arguments)) return kExitDone;
  set_up_log(log);

  TrainedModel trained(path, threads, device);
  const Config& config = trained.config();
  if (folder.empty())
    folder = config.data.validation.empty() || split == "train" ? config.data.train : config.data.validation;
  const data::TokenDataset dataset(folder, split, trained.tokenizer().digest());
  const StepShape shape = step_shape(config, 0, 1);
  if (dataset.num_windows(shape.T) == 0)
    throw DataError(fmt::format("{}: the {} split has {} tokens, fewer than one sequence of {}", folder,
                                split, dataset.num_tokens(), shape.T));
  const EvaluationRecord record =
      evaluate_split(trained.context(), trained.model(), trained.world(), dataset, shape, batches);
  const std::uint64_t bytes =
      text_bytes(dataset, trained.tokenizer(), shape.T, static_cast<std::uint64_t>(record.tokens));
  const double nats = record.loss * static_cast<double>(record.tokens);
  const nlohmann::ordered_json json = {
      {"checkpoint", trained.checkpoint().string()},
      {"step", trained.state().step},
      {"data", folder},
      {"split", split},
      {"tokens", record.tokens},
      {"loss", record.loss},
      {"perplexity", record.perplexity},
      {"bits_per_byte", nats / std::numbers::ln2 / static_cast<double>(bytes)},
      {"seconds", record.seconds}};
  fmt::print("{}\n", json.dump(2));
  return kExitDone;
}

}  // namespace switchyard::app

#include "app/commands/import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/command_line/arguments.h"
#include "app/exit_code.h"
#include "app/hugging_face/import/importer.h"
#include "app/terminal/format.h"
#include "app/terminal/progress.h"
#include "app/terminal/result.h"
#include "data/io/real_io.h"

namespace switchyard::app {

namespace {

std::string summary(const ImportReport& report) {
  std::string text =
      fmt::format("{}: {} parameters of a {} model ({} tensors in {} files)\n", report.checkpoint.string(),
                  format_count(static_cast<double>(report.parameters)),
                  traits_of(report.description.family).model_type, report.tensors, report.files);
  const moe::ModelConfig& model = report.model;
  text += fmt::format("  model       {} layers, width {}, {} heads, {} key/value heads, {}\n", model.layers,
                      model.width, model.heads, model.kv_heads,
                      model.moe.experts > 0
                          ? fmt::format("{} experts, top-{}", model.moe.experts, model.moe.top_k)
                          : "dense");
  text += fmt::format("  tokenizer   {}\n",
                      report.tokenizer.empty() ? "none in the folder; bytes are assumed" : report.tokenizer);
  for (const std::string& key : report.description.unknown_keys)
    text += fmt::format("  unknown     config.json has '{}', which means nothing here\n", printable(key));
  for (const std::string& note : report.description.notes) text += fmt::format("  note        {}\n", note);
  text += fmt::format("  to go on    {}\n", report.yaml.string());
  return text;
}

}  // namespace

int run_import(const Arguments& arguments) {
  CLI::App command(
      "Make a checkpoint of a Hugging Face folder:\n"
      "  switchyard import Qwen3-30B-A3B --output imported/qwen3\n"
      "  switchyard generate imported/qwen3 --prompt \"To open a file\"\n"
      "  switchyard train imported/qwen3/continue.yaml          # after filling in data.train\n"
      "Families: mixtral, olmoe, qwen2_moe, qwen3_moe, llama, mistral, qwen2, qwen3; fp32, bf16 or fp16. "
      "What of\n"
      "config.json would change a number and is not supported is refused by name, as is any tensor that is "
      "missing,\n"
      "superfluous or of another shape. Memory stays at a few MiB, whatever the size. The output appears "
      "whole or\n"
      "not at all.",
      "switchyard import");
  ImportOptions options;
  LogOptions log;
  log.level = "warn";
  command.add_option("DIR", options.folder, "folder with config.json and safetensors files")->required();
  command.add_option("--output,-o", options.output, "run folder to make")->required();
  command
      .add_option("--kv-heads", options.kv_heads,
                  "mean-pool key/value heads to this number (grouped queries)")
      ->check(CLI::PositiveNumber);
  CLI::Option* experts =
      command
          .add_option("--experts", options.upcycling.experts,
                      "make each layer's MLP this many experts, with a fresh router (dense models)")
          ->check(CLI::Range(2, 65'536));
  command.add_option("--top-k", options.top_k, "experts per token, with --experts")
      ->capture_default_str()
      ->needs(experts);
  command
      .add_option("--expert-noise", options.upcycling.noise,
                  "standard deviation of what is added to each expert's weights, with --experts")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0))
      ->needs(experts);
  command.add_option("--seed", options.upcycling.seed, "of router and noise, with --experts")
      ->capture_default_str()
      ->needs(experts);
  command.add_flag("--force", options.replace, "replace a folder that import made before");
  add_log_arguments(command, log);
  if (!parse_arguments(command, arguments)) return kExitDone;
  set_up_log(log);

  std::unique_ptr<Progress> progress;
  options.progress = [&](std::int64_t done, std::int64_t total) {
    if (!progress) progress = std::make_unique<Progress>(ProgressOptions{"import", "B", total});
    progress->update(done);
  };
  data::RealIo io;
  const ImportReport report = import_model(io, options);
  if (progress) progress->finish();
  print_result(summary(report));
  return kExitDone;
}

}  // namespace switchyard::app

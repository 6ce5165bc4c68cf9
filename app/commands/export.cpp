#include "app/commands/export.h"

#include <fmt/format.h>

#include "app/command_line/arguments.h"
#include "app/exit_code.h"
#include "app/hugging_face/export/exporter.h"
#include "app/terminal/format.h"
#include "app/terminal/progress.h"
#include "app/terminal/result.h"
#include "data/io/real_io.h"

namespace switchyard::app {

namespace {

std::string summary(const ExportReport& report, const ExportOptions& options) {
  std::string text =
      fmt::format("{}: a {} model, step {}, {} tensors of {} in {}\n", options.output.string(),
                  traits_of(report.family).model_type, report.step, report.tensors,
                  options.format == ElementFormat::f32 ? "fp32" : "bf16", format_bytes(report.bytes));
  text += fmt::format("  vocabulary  {} tokens", report.vocabulary);
  if (report.padding > 0) text += fmt::format(" ({} rows of padding left out)", report.padding);
  text += "\n";
  for (const std::string& file : report.files) text += fmt::format("  {}\n", file);
  return text;
}

}  // namespace

int run_export(const Arguments& arguments) {
  CLI::App command(
      "Write a trained model as a Hugging Face folder:\n"
      "  switchyard export runs/quickstart --output quickstart-hf --dtype bf16\n"
      "  python -c 'from transformers import pipeline; ...'      # or vllm serve, llama.cpp, lm-eval\n"
      "The folder has config.json, generation_config.json, safetensors (with an index where there are "
      "several)\n"
      "and tokenizer files. It is of the family whose numbers are the model's own: mixtral, olmoe, "
      "qwen3_moe,\n"
      "qwen2_moe; llama, qwen3, qwen2, mistral without experts. If none fits, the message says which key "
      "prevents\n"
      "which. The folder appears whole or not at all.",
      "switchyard export");
  ExportOptions options;
  LogOptions log;
  log.level = "warn";
  command.add_option("RUN", options.path, "run folder or checkpoint folder")->required();
  command.add_option("--output,-o", options.output, "folder to make")->required();
  const std::map<std::string, ElementFormat> formats = {{"fp32", ElementFormat::f32},
                                                        {"bf16", ElementFormat::bf16}};
  command.add_option("--dtype", options.format, "fp32 (exact) or bf16 (half the size)")
      ->transform(CLI::CheckedTransformer(formats).description(""))
      ->type_name("fp32|bf16")
      ->default_str("fp32");
  command.add_option("--family", options.family,
                     "export as this family or not at all; default: the one that fits");
  command
      .add_option("--vocab-size", options.vocabulary,
                  "rows of embedding and head; default: the tokenizer's, all if imported")
      ->check(CLI::PositiveNumber);
  command.add_option("--part-bytes", options.part_bytes, "most bytes of tensors in one file")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command.add_flag("--force", options.replace, "replace a folder that export made before");
  add_log_arguments(command, log);
  if (!parse_arguments(command, arguments)) return kExitDone;
  set_up_log(log);

  std::unique_ptr<Progress> progress;
  options.progress = [&](std::int64_t done, std::int64_t total) {
    if (!progress) progress = std::make_unique<Progress>(ProgressOptions{"export", "B", total});
    progress->update(done);
  };
  data::RealIo io;
  const ExportReport report = export_model(io, options);
  if (progress) progress->finish();
  print_result(summary(report, options));
  return kExitDone;
}

}  // namespace switchyard::app

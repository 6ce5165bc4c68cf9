#include "app/commands/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "app/command_line/arguments.h"
#include "app/exit_code.h"
#include "app/terminal/format.h"
#include "app/terminal/progress.h"
#include "data/prepare/prepare.h"
#include "kernels/runtime/threads.h"

namespace switchyard::app {

namespace {

void print_summary(const data::PrepareSummary& summary, const std::filesystem::path& output) {
  const auto count = [](std::uint64_t value) { return format_count(static_cast<double>(value)); };
  fmt::print("{}: {} tokens from {} documents ({} in {} files)\n", output.string(), count(summary.tokens),
             summary.documents, format_bytes(static_cast<std::int64_t>(summary.input_bytes)), summary.files);
  fmt::print("  train       {:>8} tokens, {} documents, {} shard(s)\n", count(summary.train.tokens),
             summary.train.documents, summary.train.shards);
  fmt::print("  validation  {:>8} tokens, {} documents, {} shard(s)\n", count(summary.validation.tokens),
             summary.validation.documents, summary.validation.shards);
  if (summary.empty_documents > 0) fmt::print("  left out    {} empty documents\n", summary.empty_documents);
  if (summary.skipped_files > 0)
    fmt::print("  left out    {} hidden or special files\n", summary.skipped_files);
  if (summary.replaced > 0) fmt::print("  replaced    {} ill-formed UTF-8 sequences\n", summary.replaced);
}

}  // namespace

int run_prepare(const Arguments& arguments) {
  CLI::App command(
      "Turn text into token shards with a held-out split:\n"
      "  switchyard prepare docs/ notes.txt corpus.jsonl --output data/mine\n"
      "A file is one UTF-8 document; a .jsonl file holds one JSON object per line, its text under "
      "--json-key;\n"
      "folders are searched. The output folder appears whole or not at all.",
      "switchyard prepare");
  data::PrepareOptions options;
  options.threads = kernels::available_cores();
  std::string tokenizer = "bytes", end_of_document;
  command.add_option("TEXT", options.inputs, "files and folders")->required();
  command.add_option("--output,-o", options.output, "folder to make")->required();
  command.add_option("--tokenizer", tokenizer, "bytes, or a tokenizer.json or a folder with one")
      ->capture_default_str();
  command.add_option("--end-of-document", end_of_document,
                     "token that ends a document; default: eos_token beside tokenizer.json");
  command.add_option("--held-out", options.held_out, "share of the documents kept for validation, 0 to 0.5")
      ->capture_default_str();
  command.add_option("--seed", options.seed, "of the held-out choice")->capture_default_str();
  command.add_option("--shard-tokens", options.tokens_per_shard, "tokens per shard")->capture_default_str();
  command.add_option("--json-key", options.json_key, "key of the text in JSONL objects")
      ->capture_default_str();
  command.add_option("--threads", options.threads, "does not change the output")->capture_default_str();
  command.add_option("--line-limit", options.line_limit_bytes, "longest JSONL line, bytes")
      ->capture_default_str();
  const std::map<std::string, data::InvalidUtf8> treatments = {{"refuse", data::InvalidUtf8::refuse},
                                                               {"replace", data::InvalidUtf8::replace}};
  command.add_option("--invalid-utf8", options.invalid_utf8, "refuse, or replace by U+FFFD")
      ->transform(CLI::CheckedTransformer(treatments).description(""))
      ->type_name("refuse|replace");
  command.add_flag("--overwrite", options.overwrite, "replace a folder that prepare made before");
  if (!parse_arguments(command, arguments)) return kExitDone;

  Progress* progress = nullptr;
  std::unique_ptr<Progress> owned;
  options.progress = [&](const data::PrepareProgress& done) {
    if (progress == nullptr) {
      owned = std::make_unique<Progress>(
          ProgressOptions{"prepare", "B", static_cast<std::int64_t>(done.bytes_total)});
      progress = owned.get();
    }
    progress->update(static_cast<std::int64_t>(done.bytes_done));
  };
  const data::PrepareSummary summary =
      data::prepare(options, *data::make_tokenizer(tokenizer, end_of_document));
  if (progress != nullptr) progress->finish();
  print_summary(summary, options.output);
  return kExitDone;
}

}  // namespace switchyard::app

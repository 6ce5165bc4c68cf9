#include "app/commands/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/command_line/arguments.h"
#include "app/exit_code.h"
#include "app/terminal/format.h"
#include "app/train/run_folder.h"
#include "app/trained/trained_model.h"
#include "app/watch/flight_report.h"
#include "data/checkpoint/format/names.h"
#include "data/checkpoint/load/reader.h"
#include "data/checkpoint/load/verify.h"
#include "data/tokens/shard/inspect.h"
#include "data/tokens/shard/manifest.h"

namespace switchyard::app {

namespace {

constexpr std::size_t kShownText = 400;

int inspect_shard_file(const std::filesystem::path& path) {
  const data::ShardReport report = data::inspect_shard(path);
  fmt::print("token shard {}\n", path.string());
  const data::ShardAttributes& attributes = report.layout.attributes;
  fmt::print("  tokens        {}\n  documents     {}\n", report.entry.tokens, report.entry.documents);
  fmt::print("  file          {} ({} of tokens from byte {})\n",
             format_bytes(static_cast<std::int64_t>(report.entry.bytes)),
             format_bytes(static_cast<std::int64_t>(report.entry.tokens_bytes)), report.entry.tokens_offset);
  fmt::print("  format        version {}\n  split         {}\n", attributes.format_version,
             printable(attributes.split));
  fmt::print("  tokenizer     {} ({} ids, end of document {}), digest {}\n",
             printable(attributes.tokenizer_name), attributes.vocab_size, attributes.end_of_document,
             attributes.tokenizer_digest.text());
  fmt::print("  digests       {} blocks of 1 MiB, {} damaged; metadata verified\n", report.blocks.size(),
             report.num_damaged_blocks);
  for (const data::BlockReport& block : report.blocks)
    if (!block.is_intact) fmt::print("  DAMAGED       {}\n", block.error);
  fmt::print("  begins with   {}\n", printable(report.first_text, kShownText));
  return report.num_damaged_blocks == 0 ? kExitDone : kExitData;
}

int inspect_prepared_folder(const std::filesystem::path& path) {
  const data::TokenManifest manifest = data::read_token_manifest(path);
  fmt::print("prepared data {}\n  tokenizer     {} ({} ids), digest {}\n", path.string(),
             manifest.tokenizer_name, manifest.vocab_size, manifest.tokenizer_digest.text());
  int worst = kExitDone;
  for (const data::SplitEntry& split : manifest.splits) {
    fmt::print("  {:<13} {} tokens, {} documents\n", split.name, split.tokens(), split.documents());
    for (const data::ShardEntry& shard : split.shards) {
      const data::ShardReport report = data::inspect_shard(path / shard.file, 0);
      fmt::print("    {:<24} {:>12} tokens, {} blocks, {}\n", shard.file, shard.tokens, report.blocks.size(),
                 report.num_damaged_blocks == 0 ? "intact" : "DAMAGED");
      if (report.num_damaged_blocks > 0) worst = kExitData;
    }
  }
  return worst;
}

int inspect_checkpoint(data::Io& io, const std::filesystem::path& path, bool digest_only) {
  if (const auto rejection = data::verify_checkpoint(io, path, {})) throw CheckpointError(rejection->text());
  data::CheckpointReader reader(io, path);
  if (digest_only) {
    fmt::print("{}\n", reader.tensor_digest().text());
    return kExitDone;
  }
  const data::Manifest& manifest = reader.manifest();
  fmt::print("checkpoint {}\n  step          {}\n  run           {}\n  digest        {}\n", path.string(),
             manifest.step, manifest.run, reader.tensor_digest().text());
  for (std::size_t part = 0; part < manifest.parts.size(); ++part)
    fmt::print("  {}  {}, verified\n", data::part_file_name(static_cast<int>(part)),
               format_bytes(manifest.parts[part].size_bytes));
  for (const auto& [key, value] : manifest.state) {
    if (key == "config" || key == "tokenizer") continue;
    if (const auto* number = std::get_if<std::int64_t>(&value)) fmt::print("  {:<15} {}\n", key, *number);
    if (const auto* text = std::get_if<std::string>(&value))
      fmt::print("  {:<15} {}\n", key, printable(*text));
  }
  fmt::print("  tensors\n");
  for (const data::TensorRecord& tensor : manifest.tensors)
    fmt::print("    {:<52} {} [{}], {} slice(s)\n", printable(tensor.name), dtype_name(tensor.dtype),
               fmt::join(tensor.shape, ", "), tensor.slices.size());
  return kExitDone;
}

int inspect_run(data::Io& io, const RunFolder& folder, bool digest_only) {
  if (digest_only) return inspect_checkpoint(io, resolve_checkpoint(io, folder.root), true);
  fmt::print("run {}\n", folder.root.string());
  const data::Listing listing = data::list_checkpoints(io, folder.checkpoints());
  for (const auto& candidate : listing.candidates) {
    const auto rejection = data::verify_checkpoint(io, candidate.path, {});
    fmt::print("  {}  {}\n", candidate.path.filename().string(), rejection ? rejection->text() : "verified");
  }
  for (const data::Rejection& refused : listing.refused)
    fmt::print("  not a checkpoint: {}\n", refused.text());
  if (listing.candidates.empty()) fmt::print("  no checkpoint yet\n");
  return kExitDone;
}

bool is_flight_folder(const std::filesystem::path& path) {
  const std::filesystem::path newest = newest_flight(path);
  const auto is_record = [](const std::filesystem::directory_entry& entry) {
    const std::string name = entry.path().filename().string();
    return name.starts_with("rank-") && name.ends_with(".json");
  };
  return std::any_of(std::filesystem::directory_iterator(newest), std::filesystem::directory_iterator(),
                     is_record);
}

int inspect_flights(const std::vector<FlightRecord>& records, std::size_t events) {
  fmt::print("{}", flight_report(records, events));
  return kExitDone;
}

}  // namespace

int run_inspect(const Arguments& arguments) {
  CLI::App command(
      "Say what is in a token shard (.h5), a prepared folder, a checkpoint or a run folder, with every "
      "digest\n"
      "verified; or what the ranks of a failed run did last, from their flight records:\n"
      "  switchyard inspect runs/quickstart/checkpoints/step-00000300\n"
      "  switchyard inspect runs/quickstart/flight",
      "switchyard inspect");
  std::filesystem::path path;
  bool digest_only = false;
  command.add_option("PATH", path, "what to look at")->required();
  command.add_flag("--digest", digest_only,
                   "one digest of a checkpoint's tensors and data position, whatever layout wrote it");
  std::size_t events = 20;
  command.add_option("--events", events, "how many of each rank's last events to show of flight records")
      ->capture_default_str();
  if (!parse_arguments(command, arguments)) return kExitDone;
  data::RealIo io;
  if (!std::filesystem::exists(path)) throw UserError(fmt::format("{} does not exist", path.string()));
  if (std::filesystem::is_regular_file(path))
    return path.extension() == ".json" ? inspect_flights({read_flight(path)}, events)
                                       : inspect_shard_file(path);
  if (std::filesystem::exists(path / data::kManifestName))
    return is_prepared_folder(path) ? inspect_prepared_folder(path)
                                    : inspect_checkpoint(io, path, digest_only);
  if (std::filesystem::is_directory(RunFolder{path}.checkpoints()))
    return inspect_run(io, {path}, digest_only);
  if (is_flight_folder(path)) return inspect_flights(read_flights(newest_flight(path)), events);
  throw UserError(
      fmt::format("{} must be a token shard, a prepared folder, a checkpoint, a run folder or flight records",
                  path.string()));
}

}  // namespace switchyard::app

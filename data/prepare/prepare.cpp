#include "data/prepare/prepare.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/prepare/ordered_workers.h"
#include "data/prepare/tokenize.h"
#include "data/storage/staging_folder.h"
#include "data/text/chunks.h"
#include "data/text/input_files.h"
#include "data/tokens/shard/shard_writer.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace fs = std::filesystem;

namespace {

/// Input bytes that may wait for a thread or for the writer; their tokens take four times as much.
constexpr std::uint64_t kMaxBytesInFlight = 64U << 20;

void check_options(const PrepareOptions& options) {
  const auto require = [](bool holds, const std::string& rule) {
    if (!holds) throw UserError("prepare: " + rule);
  };
  require(!options.output.empty(), "an output folder must be named");
  require(options.held_out >= 0 && options.held_out <= 0.5,
          fmt::format("the held-out fraction must be from 0 to 0.5; got {}", options.held_out));
  require(options.tokens_per_shard >= 1 && options.tokens_per_shard <= kMaxShardTokens,
          fmt::format("tokens per shard must be from 1 to 2^40; got {}", options.tokens_per_shard));
  require(options.threads >= 1 && options.threads <= 1024,
          fmt::format("threads must be from 1 to 1024; got {}", options.threads));
  require(options.chunk_bytes >= 8,
          fmt::format("chunks must have at least 8 bytes; got {}", options.chunk_bytes));
  require(!options.json_key.empty(), "the key of JSONL text must not be empty");
  require(options.line_limit_bytes >= 1 && options.line_limit_bytes <= (1ULL << 34),
          fmt::format("the line limit must be from 1 byte to 16 GiB; got {}", options.line_limit_bytes));
}

/// True if the folder holds what prepare writes and nothing else.
bool is_prepared_folder(const fs::path& folder) {
  bool has_manifest = false;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const bool is_manifest = entry.path().filename() == kManifestFile;
    has_manifest = has_manifest || is_manifest;
    if (!is_manifest && entry.path().extension() != ".h5") return false;
  }
  return has_manifest;
}

void check_output(const PrepareOptions& options) {
  const fs::path& output = options.output;
  if (!fs::exists(fs::symlink_status(output))) return;
  if (!fs::is_directory(output))
    throw UserError(fmt::format("prepare: the output must be a folder; got a file ({})", output.string()));
  if (fs::is_empty(output)) return;
  if (!options.overwrite)
    throw UserError(
        fmt::format("prepare: the output folder must not exist yet; got {}: name another, or ask for it to "
                    "be overwritten",
                    output.string()));
  if (!is_prepared_folder(output))
    throw UserError(fmt::format(
        "prepare: only a folder that prepare made is overwritten; got one with other files in it ({})",
        output.string()));
}

/// Opens a listed file, which must still be what the listing saw: the held-out choice rests on its size.
InputFile open_listed(const TextFile& listed) {
  InputFile file(listed.path);
  if (file.size() != listed.bytes)
    throw DataError(fmt::format(
        "data: text must stay as it is while it is prepared; got {} bytes where there were {} ({})",
        file.size(), listed.bytes, listed.path.string()));
  return file;
}

class Preparation {
 public:
  Preparation(const PrepareOptions& options, const Tokenizer& tokenizer, TextFiles inputs,
              const fs::path& folder)
      : options_(options),
        tokenizer_(tokenizer),
        inputs_(std::move(inputs)),
        folder_(folder),
        rule_(options.held_out, options.seed, inputs_.total_bytes),
        train_(folder, kTrainSplit, tokenizer, options.tokens_per_shard),
        validation_(folder, kValidationSplit, tokenizer, options.tokens_per_shard),
        workers_(options.threads,
                 [this](const TextJob& job) { return tokenize(job, options_, rule_, tokenizer_); }) {}

  PrepareSummary run() {
    if (options_.held_out > 0) observe_documents();
    for (const TextFile& listed : inputs_.files) read_file(listed);
    while (workers_.pending() > 0) write_oldest();
    return finish();
  }

 private:
  /// First pass: sizes only. JSONL has to be read for its lines, text has not.
  void observe_documents() {
    std::uint64_t index = 0;
    std::string bytes;
    for (const TextFile& listed : inputs_.files) {
      if (listed.bytes == 0) continue;
      if (listed.kind == TextKind::document) {
        rule_.observe(index++, listed.bytes);
        continue;
      }
      const InputFile file = open_listed(listed);
      LineChunks chunks(file, options_.line_limit_bytes);
      while (chunks.next(bytes))
        for_each_line(bytes, chunks.first_line(), chunks.offset(),
                      [&](const Line& line) { rule_.observe(index++, line.text.size()); });
    }
  }

  void read_file(const TextFile& listed) {
    const InputFile file = open_listed(listed);
    if (listed.kind == TextKind::json_lines) {
      read_json_lines(file);
    } else if (listed.bytes == 0) {
      ++summary_.empty_documents;
    } else {
      read_document(file);
    }
  }

  void read_document(const InputFile& file) {
    const Placement placement = rule_.place(index_++, file.size());
    if (placement != Placement::divided) return read_part(file, 0, file.size(), placement);
    const std::uint64_t cut =
        dividing_point(file.size(), rule_.fraction(), [&](std::uint64_t offset, std::uint64_t count) {
          std::string bytes(count, '\0');
          file.read_at(offset, bytes.data(), count);
          return bytes;
        });
    if (cut > 0) read_part(file, 0, cut, Placement::train);
    read_part(file, cut, file.size(), cut > 0 ? Placement::validation : Placement::train);
  }

  void read_part(const InputFile& file, std::uint64_t begin, std::uint64_t end, Placement placement) {
    TextChunks chunks(
        file, begin, end, [this](std::string_view bytes) { return tokenizer_.last_cut(bytes); },
        options_.chunk_bytes, options_.line_limit_bytes);
    TextJob job;
    while (chunks.next(job.bytes)) {
      job.file = file.path().string();
      job.offset = chunks.offset();
      job.placement = placement;
      job.ends_document = chunks.at_end();
      submit(std::move(job));
      job = {};
    }
  }

  void read_json_lines(const InputFile& file) {
    LineChunks chunks(file, options_.line_limit_bytes);
    TextJob job;
    while (chunks.next(job.bytes)) {
      job.file = file.path().string();
      job.offset = chunks.offset();
      job.is_json_lines = true;
      job.first_line = chunks.first_line();
      job.first_index = index_;
      for_each_line(job.bytes, job.first_line, job.offset, [&](const Line&) { ++index_; });
      submit(std::move(job));
      job = {};
    }
  }

  void submit(TextJob job) {
    const std::uint64_t bytes = job.bytes.size();
    const std::size_t most = 2 * static_cast<std::size_t>(options_.threads);
    while (workers_.pending() > 0 &&
           (workers_.pending() >= most || bytes_in_flight_ + bytes > kMaxBytesInFlight))
      write_oldest();
    bytes_in_flight_ += bytes;
    workers_.submit(std::move(job));
  }

  void write_oldest() {
    const TokenJobResult result = workers_.take();
    for (const TokenRun& run : result.runs) {
      ShardWriter& writer = run.placement == Placement::validation ? validation_ : train_;
      writer.append(std::span(result.tokens).subspan(run.begin, run.end - run.begin));
      if (run.ends_document) writer.end_document();
    }
    bytes_in_flight_ -= result.input_bytes;
    bytes_done_ += result.input_bytes;
    summary_.empty_documents += result.empty_documents;
    summary_.replaced += result.replaced;
    if (options_.progress) options_.progress({bytes_done_, inputs_.total_bytes});
  }

  static SplitSummary summary_of(const SplitEntry& split) {
    return {split.documents(), split.tokens(), split.shards.size()};
  }

  PrepareSummary finish() {
    TokenManifest manifest;
    manifest.tokenizer_json = tokenizer_.to_json();
    manifest.vocab_size = static_cast<std::uint64_t>(tokenizer_.vocab_size());
    manifest.end_of_document = static_cast<std::uint64_t>(tokenizer_.end_of_document());
    const SplitEntry train = train_.finish();
    const SplitEntry validation = validation_.finish();
    summary_.train = summary_of(train);
    summary_.validation = summary_of(validation);
    summary_.files = inputs_.files.size();
    summary_.input_bytes = inputs_.total_bytes;
    summary_.skipped_files = inputs_.num_skipped;
    summary_.documents = summary_.train.documents + summary_.validation.documents;
    summary_.tokens = summary_.train.tokens + summary_.validation.tokens;
    if (summary_.tokens == 0)
      throw DataError(
          fmt::format("data: the input must hold text; got {} file(s) with {} empty document(s): name files "
                      "that are not empty",
                      summary_.files, summary_.empty_documents));
    if (train.shards.empty() || (options_.held_out > 0 && validation.shards.empty()))
      throw DataError(
          fmt::format("data: {} bytes in {} document(s) are too few to hold out the fraction {}: add text, "
                      "change the seed or hold out nothing",
                      summary_.input_bytes, summary_.documents, options_.held_out));
    for (const SplitEntry& split : {train, validation})
      if (!split.shards.empty()) manifest.splits.push_back(split);
    write_token_manifest(folder_, manifest);
    return summary_;
  }

  const PrepareOptions& options_;
  const Tokenizer& tokenizer_;
  TextFiles inputs_;
  fs::path folder_;
  HeldOutRule rule_;
  ShardWriter train_;
  ShardWriter validation_;
  PrepareSummary summary_;
  std::uint64_t index_ = 0;  // of the next document
  std::uint64_t bytes_in_flight_ = 0;
  std::uint64_t bytes_done_ = 0;
  OrderedWorkers<TextJob, TokenJobResult> workers_;  // last: its threads end before what they use
};

}  // namespace

PrepareSummary prepare(const PrepareOptions& options, const Tokenizer& tokenizer) {
  check_options(options);
  check_output(options);
  TextFiles inputs = list_text_files(options.inputs, options.output);
  StagingFolder staging(options.output);
  PrepareSummary summary;
  {
    Preparation preparation(options, tokenizer, std::move(inputs), staging.path());
    summary = preparation.run();
  }
  staging.commit(options.overwrite);
  return summary;
}

}  // namespace switchyard::data

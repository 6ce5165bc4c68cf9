// Text in, token shards out: the work of `switchyard prepare`.
//
// The output folder appears whole or not at all; equal inputs and options give equal bytes for any number of
// threads. Text is tokenized in chunks of about a MiB that are cut at lines (text/chunks.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/text/tokenizer.h"

namespace switchyard::data {

enum class InvalidUtf8 { refuse, replace };

struct PrepareProgress {
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
};

struct PrepareOptions {
  std::vector<std::filesystem::path> inputs;  // files and folders (text/input_files.h)
  std::filesystem::path output;               // the folder to make
  double held_out = 0.05;                     // fraction for the validation split (held_out.h); in [0, 0.5]
  std::uint64_t seed = 0;                     // of the held-out choice
  std::uint64_t tokens_per_shard = 1ULL << 26;
  int threads = 1;
  std::string json_key = "text";                 // of JSONL objects
  std::uint64_t line_limit_bytes = 64ULL << 20;  // also of text without a place where the tokenizer may cut
  std::size_t chunk_bytes = 1U << 20;            // about what a thread works on at once; changes no token
  InvalidUtf8 invalid_utf8 = InvalidUtf8::refuse;
  bool overwrite = false;  // replace a prepared folder; never anything else
  /// Called on the calling thread, at most once a chunk.
  std::function<void(const PrepareProgress&)> progress;
};

struct SplitSummary {
  std::uint64_t documents = 0;
  std::uint64_t tokens = 0;
  std::uint64_t shards = 0;
};

struct PrepareSummary {
  std::uint64_t files = 0;
  std::uint64_t input_bytes = 0;
  std::uint64_t documents = 0;        // of both splits; a divided document counts in each
  std::uint64_t tokens = 0;           // of both splits, with the ends of documents
  std::uint64_t empty_documents = 0;  // left out
  std::uint64_t skipped_files = 0;    // hidden or special
  std::uint64_t replaced = 0;         // ill-formed UTF-8 sequences that became U+FFFD
  SplitSummary train;
  SplitSummary validation;
};

/// Throws UserError for options out of range or an output that must not be replaced, DataError for input that
/// is missing, empty, ill-formed or too small to hold out from, DiskError where writing fails. After any of
/// them the output is as it was before, and nothing new lies beside it.
PrepareSummary prepare(const PrepareOptions& options, const Tokenizer& tokenizer);

}  // namespace switchyard::data

// One piece of prepare's work: a chunk of input bytes becomes runs of tokens. Runs on any thread, knows no
// files but their names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/prepare/held_out.h"
#include "data/prepare/prepare.h"

namespace switchyard::data {

/// A chunk of one text document, or whole lines of a JSONL file.
struct TextJob {
  std::string file;  // name, for messages
  std::string bytes;
  std::uint64_t offset = 0;  // of the first byte in the file
  bool is_json_lines = false;
  // Of a text document: where it goes, and whether the document ends with this chunk.
  Placement placement = Placement::train;
  bool ends_document = false;
  // Of JSON lines.
  std::uint64_t first_line = 0;
  std::uint64_t first_index = 0;  // of the first document, for the held-out rule
};

/// Tokens of (a part of) one document.
struct TokenRun {
  std::size_t begin = 0;
  std::size_t end = 0;
  Placement placement = Placement::train;  // train or validation
  bool ends_document = false;
};

struct TokenJobResult {
  std::vector<std::int32_t> tokens;
  std::vector<TokenRun> runs;
  std::uint64_t input_bytes = 0;
  std::uint64_t empty_documents = 0;
  std::uint64_t replaced = 0;
};

/// Throws DataError naming file, line and byte.
TokenJobResult tokenize(const TextJob& job, const PrepareOptions& options, const HeldOutRule& rule,
                        const Tokenizer& tokenizer);

}  // namespace switchyard::data

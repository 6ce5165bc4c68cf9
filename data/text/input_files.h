// The text files that a user named: files and folders in, one sorted list out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace switchyard::data {

enum class TextKind {
  document,    // the whole file is one document
  json_lines,  // *.jsonl: one JSON object per line, one document each
};

struct TextFile {
  std::filesystem::path path;
  TextKind kind = TextKind::document;
  std::uint64_t bytes = 0;
};

struct TextFiles {
  std::vector<TextFile> files;
  std::uint64_t total_bytes = 0;
  /// Hidden and special files and links to nowhere that a folder held; a user who names one is told instead.
  std::uint64_t num_skipped = 0;
};

/// Files in the order of `inputs`; a folder is read with all its subfolders, its entries sorted by their
/// bytes, dot names left out. Links are followed, each folder is entered once, `excluded` (the output) never.
/// Throws DataError for a name that does not exist, is no regular file or folder, or is compressed; UserError
/// if `inputs` is empty.
TextFiles list_text_files(std::span<const std::filesystem::path> inputs,
                          const std::filesystem::path& excluded);

}  // namespace switchyard::data

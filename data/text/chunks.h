// Large text files in pieces of about a MiB. Where a file is cut depends on its bytes alone, so that the
// tokens never depend on memory or threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "data/storage/file.h"

namespace switchyard::data {

inline constexpr std::size_t kChunkBytes = 1U << 20;

/// The longest beginning of `bytes` after which a text may be cut; 0 if there is none (Tokenizer::last_cut).
using LastCut = std::function<std::size_t(std::string_view bytes)>;

/// Bytes [begin, end) of a file, cut where `last_cut` says; a chunk in which there is no place to cut grows.
class TextChunks {
 public:
  TextChunks(const InputFile& file, std::uint64_t begin, std::uint64_t end, LastCut last_cut,
             std::size_t chunk_bytes = kChunkBytes, std::uint64_t limit_bytes = 1ULL << 34)
      : file_(file),
        at_(begin),
        end_(end),
        last_cut_(std::move(last_cut)),
        chunk_bytes_(chunk_bytes),
        limit_bytes_(limit_bytes) {}
  /// Replaces `bytes` by the next chunk; false at the end. Throws DataError where `limit_bytes` offer no
  /// place to cut.
  bool next(std::string& bytes);
  /// Where the last chunk began in the file.
  std::uint64_t offset() const { return offset_; }
  bool at_end() const { return at_ == end_; }

 private:
  const InputFile& file_;
  std::uint64_t at_;
  std::uint64_t end_;
  LastCut last_cut_;
  std::size_t chunk_bytes_;
  std::uint64_t limit_bytes_;
  std::uint64_t offset_ = 0;
};

/// Whole lines of a file. Throws DataError for a line of more than `line_limit_bytes`.
class LineChunks {
 public:
  LineChunks(const InputFile& file, std::uint64_t line_limit_bytes) : file_(file), limit_(line_limit_bytes) {}
  bool next(std::string& bytes);
  std::uint64_t offset() const { return offset_; }
  /// Number of the first line of the last chunk, from 1.
  std::uint64_t first_line() const { return first_line_; }

 private:
  [[noreturn]] void refuse(std::uint64_t line) const;

  const InputFile& file_;
  std::uint64_t limit_;
  std::uint64_t at_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t first_line_ = 1;
  std::uint64_t next_line_ = 1;
};

struct Line {
  std::string_view text;  // without the line end
  std::uint64_t number = 0;
  std::uint64_t offset = 0;  // from the start of the file
};

/// Calls `visit` for each line of a chunk that holds more than blanks.
void for_each_line(std::string_view chunk, std::uint64_t first_line, std::uint64_t offset,
                   const std::function<void(const Line&)>& visit);

}  // namespace switchyard::data

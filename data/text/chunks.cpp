#include "data/text/chunks.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/runtime/error.h"

namespace switchyard::data {

bool TextChunks::next(std::string& bytes) {
  if (at_ == end_) return false;
  bytes.clear();
  for (std::uint64_t wanted = chunk_bytes_;; wanted *= 2) {
    const std::size_t have = bytes.size();
    bytes.resize(std::min(wanted, end_ - at_));
    file_.read_at(at_ + have, bytes.data() + have, bytes.size() - have);
    if (at_ + bytes.size() == end_) break;
    if (const std::size_t cut = last_cut_(bytes); cut > 0) {
      bytes.resize(cut);
      break;
    }
    if (bytes.size() > limit_bytes_)
      throw DataError(fmt::format(
          "data: a document must offer the tokenizer a place to divide it every {} bytes; got none in "
          "{} from byte {} ({}): raise the line limit or split the document",
          limit_bytes_, bytes.size(), at_, file_.path().string()));
  }
  offset_ = at_;
  at_ += bytes.size();
  return true;
}

void LineChunks::refuse(std::uint64_t line) const {
  throw DataError(
      fmt::format("data: a line of JSONL must have at most {} bytes; got a longer one ({}:{}): raise the "
                  "line limit or split the "
                  "document",
                  limit_, file_.path().string(), line));
}

bool LineChunks::next(std::string& bytes) {
  if (at_ == file_.size()) return false;
  std::size_t wanted = kChunkBytes;
  bytes.clear();
  for (;;) {
    const std::size_t have = bytes.size();
    bytes.resize(std::min<std::uint64_t>(wanted, file_.size() - at_));
    file_.read_at(at_ + have, bytes.data() + have, bytes.size() - have);
    if (at_ + bytes.size() == file_.size()) break;
    if (const std::size_t line_end = bytes.rfind('\n'); line_end != std::string::npos) {
      bytes.resize(line_end + 1);
      break;
    }
    if (bytes.size() > limit_) refuse(next_line_);
    wanted = std::min<std::uint64_t>(wanted * 2, limit_ + 2);
    wanted = std::max(wanted, bytes.size() + 1);
  }
  offset_ = at_;
  at_ += bytes.size();
  first_line_ = next_line_;
  std::size_t begin = 0;
  while (begin < bytes.size()) {
    const std::size_t line_end = std::min(bytes.find('\n', begin), bytes.size());
    if (line_end - begin > limit_) refuse(next_line_);
    begin = line_end + 1;
    ++next_line_;
  }
  return true;
}

void for_each_line(std::string_view chunk, std::uint64_t first_line, std::uint64_t offset,
                   const std::function<void(const Line&)>& visit) {
  for (std::size_t begin = 0; begin < chunk.size(); ++first_line) {
    const std::size_t end = std::min(chunk.find('\n', begin), chunk.size());
    const std::string_view text = chunk.substr(begin, end - begin);
    if (text.find_first_not_of(" \t\r") != std::string_view::npos) visit({text, first_line, offset + begin});
    begin = end + 1;
  }
}

}  // namespace switchyard::data

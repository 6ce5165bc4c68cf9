#include "data/prepare/tokenize.h"

#include <fmt/format.h>

#include <string_view>

#include "data/text/chunks.h"
#include "data/text/json_line.h"
#include "data/text/utf8.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

class JobTokenizer {
 public:
  JobTokenizer(const TextJob& job, const PrepareOptions& options, const HeldOutRule& rule,
               const Tokenizer& tokenizer)
      : job_(job), options_(options), rule_(rule), tokenizer_(tokenizer) {}

  TokenJobResult run() {
    result_.input_bytes = job_.bytes.size();
    if (job_.is_json_lines) {
      std::uint64_t index = job_.first_index;
      for_each_line(job_.bytes, job_.first_line, job_.offset,
                    [&](const Line& line) { add_json_line(line, index++); });
    } else {
      add(well_formed(job_.bytes, job_.offset, job_.file), job_.placement, job_.ends_document);
    }
    return std::move(result_);
  }

 private:
  /// `bytes` itself if it is well-formed, else its repaired copy or a refusal.
  std::string_view well_formed(std::string_view bytes, std::uint64_t offset, const std::string& place) {
    const auto invalid = find_invalid_utf8(bytes);
    if (!invalid) return bytes;
    if (options_.invalid_utf8 == InvalidUtf8::refuse)
      throw DataError(
          fmt::format("data: text must be valid UTF-8; got byte 0x{:02x} at byte {} of the file ({}): "
                      "convert the text, or have such "
                      "bytes replaced",
                      static_cast<unsigned char>(bytes[*invalid]), offset + *invalid, place));
    repaired_ = replace_invalid_utf8(bytes, result_.replaced);
    return repaired_;
  }

  void add(std::string_view text, Placement placement, bool ends_document) {
    const std::size_t begin = result_.tokens.size();
    tokenizer_.encode(text, result_.tokens);
    if (ends_document) result_.tokens.push_back(tokenizer_.end_of_document());
    result_.runs.push_back({begin, result_.tokens.size(), placement, ends_document});
  }

  void add_json_line(const Line& line, std::uint64_t index) {
    const std::string place = fmt::format("{}:{}", job_.file, line.number);
    const std::string text =
        json_line_text(well_formed(line.text, line.offset, place), options_.json_key, place);
    if (text.empty()) {
      ++result_.empty_documents;
      return;
    }
    const Placement placement = rule_.place(index, line.text.size());
    if (placement != Placement::divided) return add(text, placement, true);
    const std::uint64_t cut =
        dividing_point(text.size(), rule_.fraction(),
                       [&](std::uint64_t offset, std::uint64_t count) { return text.substr(offset, count); });
    const std::string_view view = text;
    if (cut > 0) add(view.substr(0, cut), Placement::train, true);
    add(view.substr(cut), cut > 0 ? Placement::validation : Placement::train, true);
  }

  const TextJob& job_;
  const PrepareOptions& options_;
  const HeldOutRule& rule_;
  const Tokenizer& tokenizer_;
  TokenJobResult result_;
  std::string repaired_;
};

}  // namespace

TokenJobResult tokenize(const TextJob& job, const PrepareOptions& options, const HeldOutRule& rule,
                        const Tokenizer& tokenizer) {
  return JobTokenizer(job, options, rule, tokenizer).run();
}

}  // namespace switchyard::data

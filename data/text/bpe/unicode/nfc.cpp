#include "data/text/bpe/unicode/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "data/text/bpe/unicode/tables.h"
#include "data/text/utf8.h"
#include "kernels/runtime/check.h"

namespace switchyard::data {

namespace {

/// Below this every code point begins a character and form C leaves it alone unless a mark follows.
constexpr char32_t kFirstMark = 0x300;

/// One bit per code point; looked up for every character of text outside of Latin.
class ComposingTable {
 public:
  ComposingTable() : bits_(kLastCodePoint + 1) {
    for (const CodePointRange& range : composing())
      for (char32_t at = range.first; at <= range.last; ++at) bits_[at] = true;
  }
  bool contains(char32_t code_point) const { return bits_[code_point]; }

 private:
  std::vector<bool> bits_;
};

bool is_composing(char32_t code_point) {
  static const ComposingTable table;
  return table.contains(code_point);
}

/// Bytes that form C leaves alone: up to the last character before the first of U+0300 or more.
std::size_t plain_length(std::string_view text) {
  constexpr unsigned char kLeadOfFirstMark = 0xcc;
  std::size_t at = 0;
  while (at < text.size() && static_cast<unsigned char>(text[at]) < kLeadOfFirstMark) ++at;
  if (at == text.size() || at == 0) return at;
  do --at;
  while ((static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U);
  return at;
}

/// Appends form C of a run of composing code points. utf8proc orders marks by insertion, which takes hours
/// for a megabyte of them; so the run is divided and sorted here, and joined there.
void append_composed(std::vector<utf8proc_int32_t>& run, std::string& out) {
  if (run.size() == 1 && run[0] < static_cast<utf8proc_int32_t>(kFirstMark)) {
    append_utf8(static_cast<char32_t>(run[0]), out);
    run.clear();
    return;
  }
  std::vector<utf8proc_int32_t> divided;
  divided.reserve(run.size() * 2);
  for (const utf8proc_int32_t code_point : run) {
    utf8proc_int32_t parts[8];
    int boundary = 0;
    const auto count = utf8proc_decompose_char(code_point, parts, 8, UTF8PROC_DECOMPOSE, &boundary);
    SWITCHYARD_CHECK(count >= 1 && count <= 8, "U+{:04X} divides into {} code points", code_point, count);
    divided.insert(divided.end(), parts, parts + count);
  }
  const auto mark_class = [](utf8proc_int32_t code_point) {
    return utf8proc_get_property(code_point)->combining_class;
  };
  for (std::size_t begin = 0; begin < divided.size();) {
    std::size_t end = begin + 1;
    if (mark_class(divided[begin]) != 0) {
      while (end < divided.size() && mark_class(divided[end]) != 0) ++end;
      std::stable_sort(divided.begin() + static_cast<std::ptrdiff_t>(begin),
                       divided.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](auto a, auto b) { return mark_class(a) < mark_class(b); });
    }
    begin = end;
  }
  const auto length =
      utf8proc_normalize_utf32(divided.data(), static_cast<utf8proc_ssize_t>(divided.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  SWITCHYARD_CHECK(length >= 0, "utf8proc refused code points: {}", length);
  for (std::size_t at = 0; at < static_cast<std::size_t>(length); ++at)
    append_utf8(static_cast<char32_t>(divided[at]), out);
  run.clear();
}

}  // namespace

std::string normalize_nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::vector<utf8proc_int32_t> run;
  for (std::size_t at = 0; at < text.size();) {
    if (run.empty()) {
      const std::size_t plain = plain_length(text.substr(at));
      out.append(text, at, plain);
      at += plain;
      if (at == text.size()) break;
    }
    const char32_t code_point = next_code_point(text, at);
    if (code_point < kFirstMark) {
      // Begins a character: what came before it is complete, and marks that follow may join it.
      if (!run.empty()) append_composed(run, out);
      run.push_back(static_cast<utf8proc_int32_t>(code_point));
    } else if (is_composing(code_point)) {
      run.push_back(static_cast<utf8proc_int32_t>(code_point));
    } else {
      if (!run.empty()) append_composed(run, out);
      append_utf8(code_point, out);
    }
  }
  if (!run.empty()) append_composed(run, out);
  return out;
}

bool is_nfc_inert(char32_t code_point) {
  return !is_composing(code_point);
}

bool is_nfc_end(char32_t code_point) {
  if (code_point < kFirstMark || is_nfc_inert(code_point)) return true;
  // Of letters, only the vowels and finals of Hangul join what stands before them; some are always divided.
  static const CodePointSet letters = *category_set("L");
  constexpr char32_t kFirstVowel = 0x1160, kLastFinal = 0x11ff;
  if (!letters.contains(code_point) || (code_point >= kFirstVowel && code_point <= kLastFinal)) return false;
  std::string alone;
  append_utf8(code_point, alone);
  return normalize_nfc(alone) == alone;
}

}  // namespace switchyard::data

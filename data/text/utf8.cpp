#include "data/text/utf8.h"

#include <cstring>

namespace switchyard::data {

namespace {

struct Sequence {
  std::size_t length = 1;  // bytes of the character, or of the maximal ill-formed part
  bool is_valid = false;
};

std::size_t expected_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

/// The second byte is where overlong forms, surrogates and values above U+10FFFF show.
bool is_second(unsigned char lead, unsigned char byte) {
  switch (lead) {
    case 0xe0:
      return byte >= 0xa0 && byte <= 0xbf;
    case 0xed:
      return byte >= 0x80 && byte <= 0x9f;
    case 0xf0:
      return byte >= 0x90 && byte <= 0xbf;
    case 0xf4:
      return byte >= 0x80 && byte <= 0x8f;
    default:
      return byte >= 0x80 && byte <= 0xbf;
  }
}

/// The sequence that begins at `at`, which is inside `bytes`.
Sequence read_sequence(std::string_view bytes, std::size_t at) {
  const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(bytes[index]); };
  const unsigned char lead = byte(at);
  const std::size_t wanted = expected_length(lead);
  if (wanted == 0) return {1, false};
  for (std::size_t index = 1; index < wanted; ++index) {
    if (at + index >= bytes.size()) return {index, false};
    const unsigned char next = byte(at + index);
    const bool fits = index == 1 ? is_second(lead, next) : (next & 0xc0U) == 0x80U;
    if (!fits) return {index, false};
  }
  return {wanted, true};
}

/// Index of the first byte at or after `at` that may not be ASCII, to within eight bytes.
std::size_t skip_ascii(std::string_view bytes, std::size_t at) {
  while (at + 8 <= bytes.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    if ((word & 0x8080808080808080ULL) != 0) break;
    at += 8;
  }
  return at;
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view bytes) {
  for (std::size_t at = skip_ascii(bytes, 0); at < bytes.size(); at = skip_ascii(bytes, at)) {
    const Sequence sequence = read_sequence(bytes, at);
    if (!sequence.is_valid) return at;
    at += sequence.length;
  }
  return std::nullopt;
}

std::string replace_invalid_utf8(std::string_view bytes, std::uint64_t& replaced) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t ascii = skip_ascii(bytes, at);
    text.append(bytes, at, ascii - at);
    at = ascii;
    if (at == bytes.size()) break;
    const Sequence sequence = read_sequence(bytes, at);
    if (sequence.is_valid) {
      text.append(bytes, at, sequence.length);
    } else {
      text.append("\xef\xbf\xbd");
      ++replaced;
    }
    at += sequence.length;
  }
  return text;
}

std::size_t whole_characters(std::string_view bytes) {
  for (std::size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xc0U) == 0x80U) continue;
    return expected_length(byte) > back ? bytes.size() - back : bytes.size();
  }
  return bytes.size();
}

char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t index) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[at + index]));
  };
  const char32_t lead = byte(0);
  if (lead < 0x80) {
    at += 1;
    return lead;
  }
  if (lead < 0xe0) {
    const char32_t code_point = (lead & 0x1fU) << 6U | (byte(1) & 0x3fU);
    at += 2;
    return code_point;
  }
  if (lead < 0xf0) {
    const char32_t code_point = (lead & 0x0fU) << 12U | (byte(1) & 0x3fU) << 6U | (byte(2) & 0x3fU);
    at += 3;
    return code_point;
  }
  const char32_t code_point =
      (lead & 0x07U) << 18U | (byte(1) & 0x3fU) << 12U | (byte(2) & 0x3fU) << 6U | (byte(3) & 0x3fU);
  at += 4;
  return code_point;
}

void append_utf8(char32_t code_point, std::string& text) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xc0U | code_point >> 6U);
  } else {
    if (code_point < 0x10000) {
      put(0xe0U | code_point >> 12U);
    } else {
      put(0xf0U | code_point >> 18U);
      put(0x80U | (code_point >> 12U & 0x3fU));
    }
    put(0x80U | (code_point >> 6U & 0x3fU));
  }
  put(0x80U | (code_point & 0x3fU));
}

std::string CharacterStream::push(std::string_view bytes) {
  pending_ += bytes;
  const std::size_t whole = whole_characters(pending_);
  std::uint64_t replaced = 0;
  std::string text = replace_invalid_utf8(std::string_view(pending_).substr(0, whole), replaced);
  pending_.erase(0, whole);
  return text;
}

std::string CharacterStream::finish() {
  std::uint64_t replaced = 0;
  std::string text = replace_invalid_utf8(pending_, replaced);
  pending_.clear();
  return text;
}

}  // namespace switchyard::data

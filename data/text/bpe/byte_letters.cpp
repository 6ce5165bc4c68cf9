#include "data/text/bpe/byte_letters.h"

#include "data/text/utf8.h"

namespace switchyard::data {

namespace {

constexpr std::size_t kLetters = 0x144;  // code points below this may spell a byte

struct Letters {
  std::array<char32_t, 256> of_byte{};
  std::array<int, kLetters> byte_of{};

  Letters() {
    byte_of.fill(-1);
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool is_printable =
          (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      of_byte[byte] = is_printable ? byte : next++;
      byte_of[of_byte[byte]] = static_cast<int>(byte);
    }
  }
};

const Letters& letters() {
  static const Letters table;
  return table;
}

}  // namespace

const std::array<char32_t, 256>& byte_letters() {
  return letters().of_byte;
}

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
  std::string bytes;
  for (std::size_t at = 0; at < spelling.size();) {
    const char32_t letter = next_code_point(spelling, at);
    if (letter >= kLetters || letters().byte_of[letter] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(letters().byte_of[letter]));
  }
  return bytes;
}

std::string spelling_of_bytes(std::string_view bytes) {
  std::string spelling;
  for (const char byte : bytes) append_utf8(byte_letters()[static_cast<unsigned char>(byte)], spelling);
  return spelling;
}

}  // namespace switchyard::data

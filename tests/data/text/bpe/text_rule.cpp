#include "tests/data/text/bpe/text_rule.h"

#include <array>

#include "data/storage/file.h"
#include "data/text/utf8.h"

namespace switchyard::data {

namespace {

constexpr std::uint64_t kCodePoints = 0x110000 - 0x800;
constexpr std::uint64_t kSweep = kCodePoints / 32;
constexpr std::uint64_t kAdded = 16384, kMixed = 32768, kBroken = 16384;

std::uint64_t scramble(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15ULL;
  value = (value ^ value >> 30U) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ value >> 27U) * 0x94d049bb133111ebULL;
  return value ^ value >> 31U;
}

std::string utf8(std::uint64_t code_point) {
  std::string text;
  append_utf8(static_cast<char32_t>(code_point), text);
  return text;
}

/// Code point number `rank`, surrogates left out.
std::string scalar(std::uint64_t rank) {
  return utf8(rank < 0xd800 ? rank : rank + 0x800);
}

}  // namespace

std::filesystem::path bpe_fixtures() {
  return std::filesystem::path(SWITCHYARD_SOURCE_DIR) / "tests/data/text/bpe/fixtures";
}

std::string read_fixture(const std::string& name) {
  return read_whole_file(bpe_fixtures() / name, 1U << 22);
}

class TextRule::Draws {
 public:
  explicit Draws(std::uint64_t index) : state_(index << 24U) {}
  std::uint64_t below(std::uint64_t count) { return scramble(++state_) % count; }

 private:
  std::uint64_t state_;
};

TextRule::TextRule() : lists_(nlohmann::json::parse(read_fixture("text_rule.json"))) {}

std::uint64_t TextRule::size() const {
  const std::uint64_t spaces = lists_["spaces"].size();
  return kSweep + spaces * spaces * lists_["pair_contexts"].size() + kAdded + kMixed + kBroken;
}

std::string TextRule::string(std::uint64_t index) const {
  if (index < kSweep) return sweep(index);
  const std::uint64_t pairs = size() - kSweep - kAdded - kMixed - kBroken;
  if (index < kSweep + pairs) return pair(index - kSweep);
  Draws draw(index);
  if (index < kSweep + pairs + kAdded) return with_added(draw);
  if (index < kSweep + pairs + kAdded + kMixed) return mixed(draw);
  return broken(draw);
}

std::string TextRule::sweep(std::uint64_t index) const {
  std::string text;
  for (std::uint64_t rank = index * 32; rank < index * 32 + 32; ++rank)
    text += "a" + scalar(rank) + " " + scalar(rank) + "1";
  return text;
}

std::string TextRule::pair(std::uint64_t index) const {
  const auto& spaces = lists_["spaces"];
  const auto& contexts = lists_["pair_contexts"];
  const std::string context = contexts[index % contexts.size()];
  index /= contexts.size();
  std::string text;
  for (const char character : context)
    text += character != '_' ? std::string(1, character)
                             : utf8(spaces[index / spaces.size()].get<std::uint64_t>()) +
                                   utf8(spaces[index % spaces.size()].get<std::uint64_t>());
  return text;
}

const std::string& TextRule::of(Draws& draw, const char* list) const {
  const auto& items = lists_[list];
  return items[draw.below(items.size())].get_ref<const std::string&>();
}

std::string TextRule::in_ranges(Draws& draw, const char* list) const {
  const auto& ranges = lists_[list];
  const auto& range = ranges[draw.below(ranges.size())];
  const auto first = range[0].get<std::uint64_t>(), last = range[1].get<std::uint64_t>();
  return utf8(first + draw.below(last - first + 1));
}

std::string TextRule::element(Draws& draw) const {
  const std::uint64_t kind = draw.below(16);
  std::string text;
  const auto times = [&](std::uint64_t most, const auto& make) {
    for (std::uint64_t left = 1 + draw.below(most); left > 0; --left) text += make();
  };
  if (kind < 4) {
    times(8, [&] { return std::string(1, static_cast<char>('a' + draw.below(26))); });
  } else if (kind == 4) {
    text = of(draw, "words");
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
  } else if (kind == 5) {
    times(6, [&] { return std::string(1, static_cast<char>('0' + draw.below(10))); });
  } else if (kind == 6) {
    text = of(draw, "punctuation");
  } else if (kind == 7) {
    text = of(draw, "contractions");
  } else if (kind == 8) {
    const auto& spaces = lists_["spaces"];
    times(4, [&] { return utf8(spaces[draw.below(spaces.size())].get<std::uint64_t>()); });
  } else if (kind == 9) {
    text = " ";
  } else if (kind == 10) {
    times(4, [&] { return in_ranges(draw, "scripts"); });
  } else if (kind == 11) {
    times(4, [&] { return in_ranges(draw, "marks"); });
  } else if (kind == 12) {
    text = scalar(draw.below(kCodePoints));
  } else if (kind == 13) {
    text = of(draw, "line_ends");
  } else if (kind == 14) {
    const std::string& repeated = of(draw, "repeated");
    times(40, [&] { return repeated; });
  } else {
    text = " " + of(draw, "words");
  }
  return text;
}

std::string TextRule::mixed(Draws& draw) const {
  std::string text;
  for (std::uint64_t left = 1 + draw.below(24); left > 0; --left) text += element(draw);
  return text;
}

std::string TextRule::with_added(Draws& draw) const {
  std::string text;
  for (std::uint64_t left = 1 + draw.below(12); left > 0; --left) {
    const std::uint64_t kind = draw.below(4);
    text += kind == 0 ? element(draw) : kind == 1 ? of(draw, "spacing") : of(draw, "added");
  }
  return text;
}

std::string TextRule::broken(Draws& draw) const {
  std::string bytes = mixed(draw);
  for (std::uint64_t left = 1 + draw.below(6); left > 0; --left) {
    const auto at = static_cast<std::size_t>(draw.below(bytes.size() + 1));
    const std::uint64_t what = draw.below(3);
    const auto byte = static_cast<char>(draw.below(256));
    if (what == 0) {
      bytes.insert(at, 1, byte);
    } else if (what == 1 && at < bytes.size()) {
      bytes[at] = byte;
    } else if (at < bytes.size()) {
      bytes.erase(at, 1);
    }
  }
  return bytes;
}

std::uint32_t crc32(std::string_view bytes, std::uint32_t sum) {
  static const auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      std::uint32_t value = byte;
      for (int bit = 0; bit < 8; ++bit) value = (value & 1U) != 0 ? 0xedb88320U ^ value >> 1U : value >> 1U;
      table[byte] = value;
    }
    return table;
  }();
  sum = ~sum;
  for (const char byte : bytes) sum = kTable[(sum ^ static_cast<unsigned char>(byte)) & 0xffU] ^ sum >> 8U;
  return ~sum;
}

}  // namespace switchyard::data

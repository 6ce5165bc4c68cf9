#include "app/config/source/scalars.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

namespace switchyard::app {

namespace {

bool is_digit(char letter) {
  return letter >= '0' && letter <= '9';
}

/// The parts of a decimal number, underscores removed.
struct Decimal {
  bool negative = false;
  std::string whole;
  std::string fraction;
  std::int64_t exponent = 0;
};

/// Digits with single underscores between them, from the front of `text`; empty if there are none or an
/// underscore is out of place.
std::string take_digits(std::string_view& text) {
  std::string digits;
  while (!text.empty()) {
    const bool separator = text[0] == '_' && !digits.empty() && text.size() > 1 && is_digit(text[1]);
    if (!is_digit(text[0]) && !separator) break;
    if (!separator) digits += text[0];
    text.remove_prefix(1);
  }
  return digits;
}

bool take(std::string_view& text, std::string_view letters) {
  if (text.empty() || letters.find(text[0]) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

/// Splits a decimal number; nothing if `text` is not one.
std::optional<Decimal> split_decimal(std::string_view text) {
  Decimal parts;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    parts.negative = text[0] == '-';
    text.remove_prefix(1);
  }
  parts.whole = take_digits(text);
  if (take(text, ".")) parts.fraction = take_digits(text);
  if (parts.whole.empty() && parts.fraction.empty()) return std::nullopt;
  if (take(text, "eE")) {
    bool negative = !text.empty() && text[0] == '-';
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
    const std::string digits = take_digits(text);
    if (digits.empty()) return std::nullopt;
    // Anything this far from zero is out of every range; the cap keeps the arithmetic below exact.
    constexpr std::int64_t kFarExponent = 100'000;
    std::int64_t exponent = kFarExponent;
    if (digits.size() <= 5) std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    parts.exponent = negative ? -exponent : exponent;
  }
  if (!text.empty()) return std::nullopt;
  return parts;
}

bool leading_zero(const Decimal& parts) {
  return parts.whole.size() > 1 && parts.whole[0] == '0';
}

Refusal leading_zero_refusal(const Decimal& parts) {
  const std::size_t at = std::min(parts.whole.find_first_not_of('0'), parts.whole.size() - 1);
  return {"must not start with 0, which some readers take for octal",
          fmt::format("did you mean {}{}{}{}?", parts.negative ? "-" : "", parts.whole.substr(at),
                      parts.fraction.empty() ? "" : "." + parts.fraction,
                      parts.exponent == 0 ? "" : fmt::format("e{}", parts.exponent))};
}

const Refusal& too_large() {
  static const Refusal refusal{"must fit in 64 bits (at most 9223372036854775807)", ""};
  return refusal;
}

Parsed<std::int64_t> parse_hexadecimal(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error == std::errc::result_out_of_range) return too_large();
  if (error != std::errc() || end != digits.data() + digits.size() || digits[0] == '-')
    return Refusal{"must be a whole number", ""};
  return value;
}

std::int64_t suffix_power(char letter) {
  return letter == 'k' ? 3 : letter == 'M' ? 6 : letter == 'G' ? 9 : 0;
}

}  // namespace

Parsed<std::int64_t> parse_integer(std::string_view text, bool suffixes) {
  if (text.starts_with("0x") && text.size() > 2) return parse_hexadecimal(text.substr(2));
  std::int64_t power = 0;
  std::string_view number = text;
  if (!text.empty() && suffix_power(text.back()) > 0) {
    power = suffix_power(text.back());
    number.remove_suffix(1);
  }
  auto parts = split_decimal(number);
  if (!parts) return Refusal{"must be a whole number", ""};
  if (power > 0 && !suffixes) return Refusal{"takes no suffix", "write the number out"};
  if (leading_zero(*parts)) return leading_zero_refusal(*parts);

  // Decimal arithmetic on the digits: exact, and 1e3 never passes through a double.
  std::string digits = parts->whole + parts->fraction;
  std::int64_t shift = parts->exponent + power - static_cast<std::int64_t>(parts->fraction.size());
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return std::int64_t{0};
  for (; shift < 0 && digits.back() == '0'; ++shift) digits.pop_back();
  if (shift < 0) return Refusal{"must be a whole number", ""};
  constexpr std::int64_t kMostDigits = 19;
  if (static_cast<std::int64_t>(digits.size()) + shift > kMostDigits) return too_large();
  digits.append(static_cast<std::size_t>(shift), '0');
  if (parts->negative) digits.insert(0, "-");
  std::int64_t value = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc())
    return too_large();
  return value;
}

Parsed<double> parse_real(std::string_view text) {
  const auto parts = split_decimal(text);
  if (!parts) {
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    const bool special = lower.find("nan") != std::string::npos || lower.find("inf") != std::string::npos;
    return Refusal{special && text.size() <= 9 ? "must be a finite number" : "must be a number", ""};
  }
  if (leading_zero(*parts)) return leading_zero_refusal(*parts);
  const std::string digits =
      fmt::format("{}{}.{}e{}", parts->negative ? "-" : "", parts->whole.empty() ? "0" : parts->whole,
                  parts->fraction.empty() ? "0" : parts->fraction, parts->exponent);
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || !std::isfinite(value))
    return Refusal{"must be a number that a double can hold", ""};
  return value;
}

Parsed<bool> parse_boolean(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string hint;
  if (lower == "true" || lower == "yes" || lower == "on" || lower == "y" || lower == "1")
    hint = "did you mean true?";
  if (lower == "false" || lower == "no" || lower == "off" || lower == "n" || lower == "0")
    hint = "did you mean false?";
  return Refusal{"must be true or false", hint};
}

Parsed<std::int64_t> parse_duration(std::string_view text) {
  if (text == "0") return std::int64_t{0};
  const Refusal form{"must be a length of time such as 90s, 15m, 2h, 1d or 1h30m", ""};
  constexpr std::string_view kUnits = "smhd";
  constexpr std::int64_t kSeconds[] = {1, 60, 3600, 86400};
  std::int64_t total = 0;
  std::size_t smaller_than = kUnits.size();
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t length = std::min(rest.find_first_not_of("0123456789"), rest.size());
    if (length == 0) return form;
    if (length == rest.size()) return Refusal{form.rule, fmt::format("did you mean {0}s or {0}m?", rest)};
    const std::size_t unit = kUnits.find(rest[length]);
    if (unit >= smaller_than) return form;
    const auto count = parse_integer(rest.substr(0, length));
    if (const auto* refusal = std::get_if<Refusal>(&count)) return *refusal;
    std::int64_t seconds = 0;
    if (__builtin_mul_overflow(std::get<std::int64_t>(count), kSeconds[unit], &seconds) ||
        __builtin_add_overflow(total, seconds, &total))
      return too_large();
    smaller_than = unit;
    rest.remove_prefix(length + 1);
  }
  if (text.empty()) return form;
  return total;
}

}  // namespace switchyard::app

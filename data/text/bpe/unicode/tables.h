// What the `tokenizers` package holds each code point to be. Its parts follow several versions of Unicode (16
// for expressions, 17 for digits, 9 for the order of combining marks), and ids must be equal to its ids, so
// the tables are measured on it and pinned here. Rejected: the tables of PCRE2 and utf8proc, whose versions
// come with the machine.
#pragma once

#include <cstdint>
#include <span>

#include "data/text/bpe/unicode/code_point_set.h"

namespace switchyard::data {

/// Index in this list is the category in category_runs().
inline constexpr const char* kCategoryNames[] = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                                 "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc",
                                                 "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"};

/// First code point of a run << 5 | category; the first run begins at 0.
std::span<const std::uint32_t> category_runs();

/// \s of a pattern.
std::span<const CodePointRange> white_space();
/// What an added token with lstrip or rstrip takes in.
std::span<const CodePointRange> strip_space();
/// What the Digits pre-tokenizer sets apart.
std::span<const CodePointRange> numeric();
/// What must not stand beside an added token with single_word.
std::span<const CodePointRange> word_characters();
/// What NFC moves, divides or joins. A code point outside stays as it is, and nothing moves past it.
std::span<const CodePointRange> composing();

}  // namespace switchyard::data

#!/usr/bin/env python3
"""Writes the Unicode tables of data/text/bpe/unicode by asking the `tokenizers` package about every code point.

    make_unicode_tables.py [--check]

The package joins engines of several Unicode versions: its regular expressions, its normaliser, the Rust standard
library and Rust's own expressions each have one. What it does is what counts, so every table is measured, none is
copied. With --check nothing is written; exit code 1 if a file would change. Takes half a minute.
"""
import argparse
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, __version__, models, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn").split()
FOLDER = pathlib.Path(__file__).resolve().parents[3] / "data/text/bpe/unicode"


def matched_by(expression):
    """Code points that the expression matches alone."""
    split = pre_tokenizers.Split(Regex(expression), "removed")
    return {c for c in CODE_POINTS if not split.pre_tokenize_str(chr(c))}


def categories():
    found = [CATEGORIES.index("Cn")] * 0x110000  # surrogates never reach an expression: any value serves
    claimed = 0
    for index, name in enumerate(CATEGORIES):
        members = matched_by(r"\p{%s}" % name)
        claimed += len(members)
        for c in members:
            found[c] = index
    assert claimed == len(CODE_POINTS), "the categories must divide the code points"
    for letter in "LMNPSZC":
        assert matched_by(r"\p{%s}" % letter) == {c for c in CODE_POINTS if CATEGORIES[found[c]][0] == letter}
    assert matched_by(r"\d") == {c for c in CODE_POINTS if CATEGORIES[found[c]] == "Nd"}
    return found


def numeric():
    digits = pre_tokenizers.Digits(False)
    return {c for c in CODE_POINTS if len(digits.pre_tokenize_str("a" + chr(c))) == 2}


def beside_added_token(**flags):
    """Code points c for which the token <x> is found, and takes in c, in "a" + c + "<x>" + "b" (see the callers)."""
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    tokenizer.add_tokens([AddedToken("<x>", normalized=False, **flags)])
    return tokenizer


def word_characters():
    tokenizer = beside_added_token(single_word=True)
    added = tokenizer.token_to_id("<x>")
    return {c for c in CODE_POINTS if added not in tokenizer.encode(chr(c) + "<x>").ids}


def strip_space():
    tokenizer = beside_added_token(lstrip=True)
    return {c for c in CODE_POINTS if tokenizer.encode("a" + chr(c) + "<x>").offsets[-1] == (1, 5)}


def composing():
    """Every code point that the normaliser moves, divides or joins: the rest stands still and stops the moving."""
    nfc, nfd = normalizers.NFC(), normalizers.NFD()
    found = set()
    for c in CODE_POINTS:
        character = chr(c)
        divided = nfd.normalize_str(character)
        if divided != character:
            found.add(c)
            found.update(map(ord, divided))
            # The pairs that are joined step by step, as in U+1EA4 = U+00C2 U+0301.
            found.update(map(ord, nfc.normalize_str(divided[:-1])))
        for text in ("a" + character + "\u0334", "a\u0345" + character):  # moved unless of class 0 (or 1, or 240)
            if nfc.normalize_str(text) != text:
                found.add(c)
    return found


def runs_of(values):
    return [(c, v) for c, v in enumerate(values) if c == 0 or values[c - 1] != v]


def ranges_of(members):
    found = []
    for c in sorted(members):
        if found and (found[-1][1] == c - 1 or (found[-1][1] == 0xD7FF and c == 0xE000)):
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


HEAD = """// Made by scripts/parity/tokenizers/make_unicode_tables.py: do not edit. What version {version} of the `tokenizers` package
// does with each code point.
#include "data/text/bpe/unicode/tables.h"

namespace switchyard::data {{

namespace {{

// clang-format off
"""


def numbers(values, per_line):
    lines = [", ".join(values[at:at + per_line]) for at in range(0, len(values), per_line)]
    return "    " + ",\n    ".join(lines)


def categories_file():
    values = [f"0x{c << 5 | v:x}" for c, v in runs_of(categories())]
    return (HEAD.format(version=__version__) + "// First code point of a run << 5 | category.\n"
            + "constexpr std::uint32_t kRuns[] = {\n" + numbers(values, 12) + "};\n// clang-format on\n\n}  // namespace\n\n"
            + "std::span<const std::uint32_t> category_runs() { return kRuns; }\n\n}  // namespace switchyard::data\n")


def sets_file():
    sets = {"white_space": matched_by(r"\s"), "strip_space": strip_space(), "numeric": numeric(),
            "word_characters": word_characters(), "composing": composing()}
    text, tail = HEAD.format(version=__version__), ""
    for name, members in sets.items():
        constant = "k" + "".join(part.capitalize() for part in name.split("_"))
        values = [f"{{0x{first:x}, 0x{last:x}}}" for first, last in ranges_of(members)]
        text += f"constexpr CodePointRange {constant}[] = {{\n" + numbers(values, 6) + "};\n"
        tail += f"std::span<const CodePointRange> {name}() {{ return {constant}; }}\n"
    return text + "// clang-format on\n\n}  // namespace\n\n" + tail + "\n}  // namespace switchyard::data\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    stale = []
    for name, text in (("categories.cpp", categories_file()), ("sets.cpp", sets_file())):
        path = FOLDER / name
        if not path.is_file() or path.read_text() != text:
            stale.append(name)
            if not arguments.check:
                path.write_text(text)
    print("changed:" if stale else "unchanged", *stale)
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

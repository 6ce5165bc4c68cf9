"""The strings on which ids are compared: a rule that tests/data/text/bpe/text_rule.cpp computes too, byte for byte.

A string is made from its index alone by draws of a counter-based generator. In order: every code point, every pair of
white spaces, added tokens inside text, mixed text of many scripts, and mixed text with broken UTF-8.
"""
import json
import pathlib

FIXTURES = pathlib.Path(__file__).resolve().parents[3] / "tests/data/text/bpe/fixtures"
LISTS = json.loads((FIXTURES / "text_rule.json").read_text(encoding="utf-8"))
MASK = (1 << 64) - 1

NUM_CODE_POINTS = 0x110000 - 0x800
SWEEP = NUM_CODE_POINTS // 32
PAIRS = len(LISTS["spaces"]) ** 2 * len(LISTS["pair_contexts"])
ADDED, MIXED, BROKEN = 16384, 32768, 16384
NUM_STRINGS = SWEEP + PAIRS + ADDED + MIXED + BROKEN
BLOCK = 512


def scramble(value):
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & MASK
    return value ^ value >> 31


class Draws:
    def __init__(self, index):
        self.state = index << 24

    def below(self, count):
        self.state += 1
        return scramble(self.state) % count

    def of(self, items):
        return items[self.below(len(items))]

    def in_ranges(self, ranges):
        first, last = self.of(ranges)
        return chr(first + self.below(last - first + 1))


def scalar(rank):
    """Code point number `rank`, surrogates left out."""
    return chr(rank if rank < 0xD800 else rank + 0x800)


def sweep(index):
    return "".join(f"a{c} {c}1" for c in map(scalar, range(index * 32, index * 32 + 32)))


def pair(index):
    spaces, contexts = LISTS["spaces"], LISTS["pair_contexts"]
    index, context = divmod(index, len(contexts))
    first, second = divmod(index, len(spaces))
    return contexts[context].replace("_", chr(spaces[first]) + chr(spaces[second]))


def element(draw):
    kind = draw.below(16)
    if kind < 4:
        return "".join(chr(97 + draw.below(26)) for _ in range(1 + draw.below(8)))
    if kind == 4:
        return draw.of(LISTS["words"]).capitalize()
    if kind == 5:
        return "".join(chr(48 + draw.below(10)) for _ in range(1 + draw.below(6)))
    if kind == 6:
        return draw.of(LISTS["punctuation"])
    if kind == 7:
        return draw.of(LISTS["contractions"])
    if kind == 8:
        return "".join(chr(draw.of(LISTS["spaces"])) for _ in range(1 + draw.below(4)))
    if kind == 9:
        return " "
    if kind == 10:
        return "".join(draw.in_ranges(LISTS["scripts"]) for _ in range(1 + draw.below(4)))
    if kind == 11:
        return "".join(draw.in_ranges(LISTS["marks"]) for _ in range(1 + draw.below(4)))
    if kind == 12:
        return scalar(draw.below(NUM_CODE_POINTS))
    if kind == 13:
        return draw.of(LISTS["line_ends"])
    if kind == 14:
        return draw.of(LISTS["repeated"]) * (1 + draw.below(40))
    return " " + draw.of(LISTS["words"])


def mixed(draw):
    return "".join(element(draw) for _ in range(1 + draw.below(24)))


def with_added(draw):
    parts = []
    for _ in range(1 + draw.below(12)):
        kind = draw.below(4)
        parts.append(element(draw) if kind == 0 else draw.of(LISTS["spacing"]) if kind == 1 else draw.of(LISTS["added"]))
    return "".join(parts)


def broken(draw):
    data = bytearray(mixed(draw).encode())
    for _ in range(1 + draw.below(6)):
        at, what, byte = draw.below(len(data) + 1), draw.below(3), draw.below(256)
        if what == 0:
            data[at:at] = bytes([byte])
        elif what == 1 and at < len(data):
            data[at] = byte
        elif at < len(data):
            del data[at]
    return bytes(data)


def string(index):
    """The bytes of string `index` of NUM_STRINGS."""
    if index < SWEEP:
        return sweep(index).encode()
    if index < SWEEP + PAIRS:
        return pair(index - SWEEP).encode()
    draw = Draws(index)
    if index < SWEEP + PAIRS + ADDED:
        return with_added(draw).encode()
    if index < SWEEP + PAIRS + ADDED + MIXED:
        return mixed(draw).encode()
    return broken(draw)

#!/usr/bin/env python3
"""Trains small vocabularies with the `tokenizers` package and stores what it makes of the strings of text_rule.py.

    make_fixtures.py [--only NAME]... [--check]      write the fixtures, or compare with those that are there
    make_fixtures.py --show NAME INDEX               one string, its pieces and ids, to look at a difference

Each fixture is a tokenizer.json and, in checksums.json, CRC-32s over blocks of 512 strings: of the ids (32 bits, little
endian, -1 after each string) and of the decoded text (0xff after each string). Takes some minutes.
"""
import argparse
import json
import sys
import zlib

from text_rule import BLOCK, FIXTURES, LISTS, MIXED, NUM_STRINGS, SWEEP, PAIRS, ADDED, string
from tokenizers import (AddedToken, Regex, Tokenizer, __version__, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = GPT4 % r"\p{N}{1,3}"
QWEN = GPT4 % r"\p{N}"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
DEEPSEEK = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]


def byte_level(prefix=False, regex=True):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def splits(*patterns, behavior="isolated"):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(p), behavior) for p in patterns] + [byte_level(regex=False)])


def special(text, **flags):
    return AddedToken(text, special=True, **{"normalized": False, **flags})


END = special("<|endoftext|>")
CHAT = [END, special("<|im_start|>"), special("<|im_end|>"), special("<|begin_of_text|>")]


class Recipe:
    def __init__(self, pre_tokenizer, normalizer=None, added=(), edit=None):
        self.pre_tokenizer, self.normalizer, self.added, self.edit = pre_tokenizer, normalizer, list(added), edit


def merges_as_text(document):
    model = document["model"]
    model["merges"] = [" ".join(pair) for pair in model["merges"]]
    del model["type"], model["ignore_merges"], model["byte_fallback"]
    model["continuing_subword_prefix"] = model["end_of_word_suffix"] = ""


def words_without_merges(document):
    """Llama-3 has tokens that its merges do not reach."""
    model = document["model"]
    model["ignore_merges"] = True
    for word in ("Ġpeople", "Ġcould", "words", "Ġlittle", "<|begin", "ccc", "999"):
        model["vocab"].setdefault(word, len(model["vocab"]))
    for token in document["added_tokens"]:
        if token["content"] not in model["vocab"]:
            token["id"] = len(model["vocab"])


RECIPES = {
    "gpt2": Recipe(byte_level(), added=[special("<|endoftext|>", normalized=True)], edit=merges_as_text),
    "neox": Recipe(byte_level(), normalizers.NFC(),
                   [END, AddedToken("|||IP|||"), AddedToken("   "), AddedToken("    "), AddedToken("e\u0301"),
                    AddedToken("na\u00efve", normalized=False)]),
    "llama3": Recipe(splits(LLAMA3), added=CHAT, edit=words_without_merges),
    "qwen": Recipe(splits(QWEN), normalizers.NFC(), CHAT),
    "o200k": Recipe(splits(O200K), added=CHAT),
    "deepseek": Recipe(splits(*DEEPSEEK), added=CHAT),
    "flags": Recipe(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level(prefix=True)]), normalizers.NFC(),
        [END, special("[MASK]", lstrip=True), special("[R]", rstrip=True), special("[LR]", lstrip=True, rstrip=True),
         AddedToken("word", single_word=True), AddedToken("\u00e9", single_word=True, normalized=False),
         AddedToken("   ", normalized=False)]),
    "behaviors": Recipe(
        pre_tokenizers.Sequence([
            pre_tokenizers.Digits(False), pre_tokenizers.Split("_", "merged_with_previous"),
            pre_tokenizers.Split(Regex(r"[.,]{1,2}+|\n"), "merged_with_next"),
            pre_tokenizers.Split(Regex(r"\p{Lu}+?\p{Ll}*+"), "contiguous"),
            pre_tokenizers.Split(Regex(r"\s++(?=\S)|[-\u3000x]"), "removed"),
            pre_tokenizers.Split(Regex(r"[^a-m]+"), "merged_with_next", invert=True), byte_level(regex=False)]),
        added=[END]),
}


def training_text():
    first = SWEEP + PAIRS + ADDED
    for index in range(first, first + MIXED, 8):
        yield string(index).decode()
    words = LISTS["words"]
    for index in range(4000):
        yield " ".join(words[(index * index + step * 7) % len(words)] for step in range(12))


def train(name):
    recipe = RECIPES[name]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = recipe.pre_tokenizer, decoders.ByteLevel()
    if recipe.normalizer:
        tokenizer.normalizer = recipe.normalizer
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=[END], show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(training_text(), trainer)
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.add_tokens([token for token in recipe.added if not token.special])
    tokenizer.add_special_tokens([token for token in recipe.added if token.special])
    if name == "llama3":
        begin = tokenizer.token_to_id("<|begin_of_text|>")
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", begin)])])
    document = json.loads(tokenizer.to_str())
    if recipe.edit:
        recipe.edit(document)
        renumber(document)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def renumber(document):
    """Ids of added tokens follow the vocabulary, which the edit may have made longer."""
    vocab, following = document["model"]["vocab"], len(document["model"]["vocab"])
    for token in document["added_tokens"]:
        if token["content"] in vocab:
            token["id"] = vocab[token["content"]]
        else:
            token["id"], following = following, following + 1


def checksums(text):
    tokenizer = Tokenizer.from_str(text)
    ids_sums, text_sums = [], []
    for begin in range(0, NUM_STRINGS, BLOCK):
        strings = [string(i).decode("utf-8", errors="replace") for i in range(begin, min(begin + BLOCK, NUM_STRINGS))]
        ids = [e.ids for e in tokenizer.encode_batch(strings, add_special_tokens=False)]
        decoded = tokenizer.decode_batch(ids, skip_special_tokens=False)
        ids_sum = text_sum = 0
        for one, back in zip(ids, decoded):
            ids_sum = zlib.crc32(b"".join(i.to_bytes(4, "little") for i in one) + b"\xff" * 4, ids_sum)
            text_sum = zlib.crc32(back.encode() + b"\xff", text_sum)
        ids_sums.append(ids_sum)
        text_sums.append(text_sum)
    return {"ids": ids_sums, "text": text_sums}


def show(name, index):
    tokenizer = Tokenizer.from_file(str(FIXTURES / f"{name}.json"))
    data = string(index)
    text = data.decode("utf-8", errors="replace")
    encoding = tokenizer.encode(text, add_special_tokens=False)
    print(data, repr(text), encoding.tokens, encoding.ids, repr(tokenizer.decode(encoding.ids, skip_special_tokens=False)),
          sep="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=RECIPES)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--show", nargs=2, metavar=("NAME", "INDEX"))
    arguments = parser.parse_args()
    if arguments.show:
        return show(arguments.show[0], int(arguments.show[1]))
    path = FIXTURES / "checksums.json"
    stored = json.loads(path.read_text()) if path.is_file() else {}
    made = {"package": __version__, "strings": NUM_STRINGS, "block": BLOCK,
            "tokenizers": dict(stored.get("tokenizers", {}))}
    differing = []
    for name in arguments.only or RECIPES:
        file = FIXTURES / f"{name}.json"
        # Training may order equals differently from one machine to another, so a check keeps the vocabulary.
        text = file.read_text(encoding="utf-8") if arguments.check else train(name)
        made["tokenizers"][name] = checksums(text)
        if arguments.check and made["tokenizers"][name] != stored["tokenizers"][name]:
            differing.append(name)
        if not arguments.check:
            file.write_text(text, encoding="utf-8")
        print(name, "differs" if name in differing else "done", flush=True)
    if not arguments.check:
        path.write_text(json.dumps(made, separators=(",", ":")) + "\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

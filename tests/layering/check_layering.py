#!/usr/bin/env python3
"""Holds the tree to its plan: directions of includes and links, the place of each third party, sizes, words, tests.

    check_layering.py [--root DIR] [--build DIR] [CHECK...]

Checks: includes links sources words sizes (of the tree), symbols registered (of a build; need --build).
Without CHECK, all of the tree's and, with --build, all of the build's. Prints one line per finding
(`file:line: rule; got ...`); warnings do not fail. Exit codes: 0 clean, 1 findings, 2 wrong usage.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys

from plan import (FORBIDDEN_WORDS, GENERATED_HEADERS, HARD_LINES, HEADER_PLACES, LABELS, LIBRARIES, LIBRARY_PLACES,
                  MAY_SEE, OPTIMISED_ONLY, SOFT_FILES, SOFT_LINES, SOURCE_ENDINGS, SYMBOL_PLACES,
                  SYSTEM_HEADER_FOLDERS, TEXT_ENDINGS, TREE)

# ---- the tree -------------------------------------------------------------------------------------------------------
class Findings:
    """Collects what breaks a rule (`bad`) and what is only worth a look (`warn`)."""

    def __init__(self):
        self.bad_lines, self.warnings = [], []

    def bad(self, place, message):
        self.bad_lines.append(f"{place}: {message}")

    def warn(self, place, message):
        self.warnings.append(f"{place}: warning: {message}")


def files_of(root, tops=TREE):
    """Paths relative to `root` of the project's own text files, sorted. Data that users keep in the tree is not text
    of the project: only known endings and CMakeLists.txt count. Neither is `.git`, a file in a linked worktree."""
    found = [p for p in root.iterdir() if p.is_file() and p.name != ".git"]
    for top in tops:
        found += [p for p in (root / top).rglob("*") if p.is_file()]
    relative = (p.relative_to(root) for p in found if p.suffix in TEXT_ENDINGS or p.name == "CMakeLists.txt")
    return sorted(p for p in relative if "__pycache__" not in p.parts and p.parts[:2] != ("data", "quickstart"))


def sources_of(root):
    return [p for p in files_of(root, LIBRARIES + ["tests"]) if p.suffix in SOURCE_ENDINGS and len(p.parts) > 1]


def text_of(root, path):
    return (root / path).read_text(encoding="utf-8", errors="replace")


def without_comments(text):
    """C++ comments blanked, lines kept. A comment mark inside a string literal is left alone."""
    pattern = r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/'
    keep = lambda m: m.group() if m.group()[0] == '"' else re.sub(r"[^\n]", " ", m.group())
    return re.sub(pattern, keep, text, flags=re.S)


def allowed(path, places):
    return any(str(path) == place or (place.endswith("/") and str(path).startswith(place)) for place in places)


def rule_for(name, table):
    return next((row for row in table if re.fullmatch(row[0], name)), None)


# ---- checks of the tree ---------------------------------------------------------------------------------------------
def check_includes(root, out):
    for path in sources_of(root):
        for number, line in enumerate(without_comments(text_of(root, path)).split("\n"), 1):
            match = re.match(r'\s*#\s*(?:include|import)\s*(.*)', line)
            if match:
                check_include(root, out, path, f"{path}:{number}", match.group(1).strip())


def check_include(root, out, path, place, target):
    named = re.match(r'"([^"]+)"|<([^>]+)>', target)
    if not named:
        return out.bad(place, f"an include names its file; got {target}")
    own, other = named.groups()
    if own and own not in GENERATED_HEADERS:
        folder, top = own.split("/")[0], path.parts[0]
        if not (root / own).is_file():
            return out.bad(place, f"includes in quotes are paths from the root; got \"{own}\", which is not there")
        if folder != top and folder not in MAY_SEE[top]:
            seen = ", ".join(sorted(MAY_SEE[top])) or "nothing else"
            return out.bad(place, f"{top} may include {seen}; got \"{own}\"")
    if other:
        row = rule_for(other, HEADER_PLACES)
        if row and not allowed(path, row[1]):
            return out.bad(place, f"<{other}> belongs in {', '.join(row[1])} only; got it in {path}")
        if not row and "/" in other and other.split("/")[0] not in SYSTEM_HEADER_FOLDERS:
            return out.bad(place, f"<{other}> has no place yet; give it one in tests/layering/plan.py")


def commands_of(text, name):
    """(line, words) of every call of a CMake command; comments are blanked first."""
    text = re.sub(r"#[^\n]*", lambda m: " " * len(m.group()), text)
    for match in re.finditer(rf"(?i)\b{name}\s*\(([^()]*)\)", text):
        yield text.count("\n", 0, match.start()) + 1, match.group(1).replace('"', " ").split()


def targets_of(root):
    """Top folder of every target that the tree itself defines, by its name."""
    found = {}
    for path in files_of(root, LIBRARIES + ["tests"]):
        if path.name == "CMakeLists.txt" and len(path.parts) > 1:
            for _, words in commands_of(text_of(root, path), "add_library"):
                found[words[0]] = path.parts[0]
    return found


def check_links(root, out):
    not_libraries = {"PUBLIC", "PRIVATE", "INTERFACE", "LABELS", "SOURCES", "TIMEOUT", "LIBRARIES"}
    targets = targets_of(root)
    for path in files_of(root, LIBRARIES + ["tests"]):
        if path.name != "CMakeLists.txt" or len(path.parts) == 1:
            continue
        text = text_of(root, path)
        calls = [(line, words[1:]) for line, words in commands_of(text, "target_link_libraries")]
        calls += list(commands_of(text, "link_libraries"))
        for line, words in commands_of(text, "switchyard_test"):
            calls.append((line, words[words.index("LIBRARIES") + 1:] if "LIBRARIES" in words else []))
        for line, words in calls:
            for word in words:
                if word not in not_libraries:
                    check_link(out, targets, path, line, word)


def check_link(out, targets, path, line, library):
    place, top = f"{path}:{line}", path.parts[0]
    if library in targets:
        folder = targets[library]
        if folder != top and folder not in MAY_SEE[top]:
            out.bad(place, f"{top} may link {', '.join(sorted(MAY_SEE[top])) or 'no other folder'}; got {library}")
        return
    row = rule_for(library, LIBRARY_PLACES)
    if not row:
        out.bad(place, f"library {library} has no place yet; give it one in tests/layering/plan.py")
    elif not allowed(path, row[1]):
        out.bad(place, f"{library} is linked in {', '.join(row[1])} only; got it in {path}")


def check_sources(root, out):
    """Every translation unit is named in a CMakeLists.txt of its folder or of one above it."""
    for path in sources_of(root):
        if path.suffix not in {".cpp", ".cu"}:
            continue
        for folder in path.parents:
            lists = root / folder / "CMakeLists.txt"
            name = path.relative_to(folder).as_posix()
            if lists.is_file() and re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w.-])", lists.read_text()):
                break
        else:
            out.bad(path, "every source is named in a CMakeLists.txt; got none that names it")


def check_words(root, out):
    for path in files_of(root):
        for number, line in enumerate(text_of(root, path).split("\n"), 1):
            for pattern, why in FORBIDDEN_WORDS:
                match = re.search(pattern, line)
                if match:
                    out.bad(f"{path}:{number}", f"{why}; got \"{match.group()}\"")


def check_sizes(root, out):
    folders = {}
    for path in files_of(root):
        if path.name == "CMakeLists.txt" or path.suffix in {".md", ".yaml"}:
            continue
        folders[path.parent] = folders.get(path.parent, 0) + 1
        lines = text_of(root, path).count("\n")
        if lines > HARD_LINES:
            out.bad(path, f"a file has at most {HARD_LINES} lines; got {lines}: divide it by what it does")
        elif lines > SOFT_LINES:
            out.warn(path, f"longer than {SOFT_LINES} lines: {lines}")
    for folder, count in sorted(folders.items()):
        if count > SOFT_FILES:
            out.warn(folder, f"more than {SOFT_FILES} files: {count}; rooms with names would help")


# ---- checks of a build ----------------------------------------------------------------------------------------------
def check_symbols(root, build, out):
    for library in LIBRARIES:
        archive = build / library / f"libswitchyard_{library}.a"
        if not archive.is_file():
            out.bad(archive, "the library must be built before its symbols are checked")
            continue
        listing = subprocess.run(["nm", "--undefined-only", archive], capture_output=True, text=True, check=True)
        object_file = ""
        for line in listing.stdout.split("\n"):
            if line.endswith(":"):
                object_file = line[:-1]
            elif line.strip():
                check_symbol(out, library, object_file, line.split()[-1])


def check_symbol(out, library, object_file, symbol):
    place = f"libswitchyard_{library}.a({object_file})"
    row = rule_for(symbol, SYMBOL_PLACES)
    if row and (row[1] != library or (row[2] and object_file not in row[2])):
        where = row[1] + (f" ({', '.join(sorted(row[2]))})" if row[2] else "")
        out.bad(place, f"only {where} calls this third party; got {symbol}")
    for folder in LIBRARIES:
        if folder != library and folder not in MAY_SEE[library] and f"10switchyard{len(folder)}{folder}" in symbol:
            out.bad(place, f"{library} may not call {folder}; got {symbol}")


def check_registered(root, build, out):
    """Every *_test.cpp is compiled by this build, and every test that CTest knows has labels of the list and a time
    limit. Parts that a build may lack (CUDA, benchmarks) are asked for by check_sources."""
    sanitized = re.search(r"^SWITCHYARD_SANITIZE:\w+=.+$", (build / "CMakeCache.txt").read_text(), re.MULTILINE)
    commands = json.loads((build / "compile_commands.json").read_text())
    compiled = {pathlib.Path(c["directory"], c["file"]).resolve() for c in commands}
    for path in sources_of(root):
        optional = {"cuda", "bench"} & set(path.parts)
        if sanitized and path.name in OPTIMISED_ONLY:
            continue
        if path.name.endswith("_test.cpp") and not optional and (root / path).resolve() not in compiled:
            out.bad(path, "every test is built; this one is in no target (configure again if it is new)")
    shown = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, capture_output=True, text=True, check=True)
    tests = json.loads(shown.stdout)["tests"]
    if not tests:
        out.bad(build, "CTest must know tests; got none")
    for test in tests:
        properties = {p["name"]: p["value"] for p in test.get("properties", [])}
        labels = properties.get("LABELS", [])
        if test["name"].endswith("_NOT_BUILT"):
            continue  # stands for a program that is not built yet; running it fails
        if not labels or not set(labels) <= LABELS:
            out.bad(f"test {test['name']}", f"labels are of {', '.join(sorted(LABELS))}; got {labels or 'none'}")
        if not properties.get("TIMEOUT"):
            out.bad(f"test {test['name']}", "every test has a TIMEOUT; got none")


TREE_CHECKS = {"includes": check_includes, "links": check_links, "sources": check_sources, "words": check_words,
               "sizes": check_sizes}
BUILD_CHECKS = {"symbols": check_symbols, "registered": check_registered}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("checks", nargs="*", metavar="CHECK")
    arguments = parser.parse_args()
    chosen = arguments.checks or [*TREE_CHECKS, *(BUILD_CHECKS if arguments.build else [])]
    out = Findings()
    for name in chosen:
        if name in TREE_CHECKS:
            TREE_CHECKS[name](arguments.root, out)
        elif name in BUILD_CHECKS and arguments.build:
            BUILD_CHECKS[name](arguments.root, arguments.build.resolve(), out)
        else:
            parser.error(f"unknown check, or one that needs --build: {name}")
    for line in out.warnings + out.bad_lines:
        print(line)
    print(f"{', '.join(chosen)}: {len(out.bad_lines)} findings, {len(out.warnings)} warnings")
    return 1 if out.bad_lines else 0


if __name__ == "__main__":
    sys.exit(main())

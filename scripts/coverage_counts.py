"""For scripts/coverage: which lines ran and which outcomes of conditions were taken, by file.

gcov alone counts more than the source has: every call that may throw has two branches for it, and what the compiler
makes to clean up after an exception has branches of its own. Here a branch is one outcome of a condition of the source:
of an if, a loop, a switch, a ?:, an && or ||. So neither the two branches of a call count, nor any in a block that
only an exception reaches (a catch clause that never ran shows as lines that never ran), nor those of a line that opens
a catch clause. A condition that was never evaluated counts as so many outcomes not taken. A line that only closes
blocks is none.
"""
import concurrent.futures
import json
import pathlib
import re
import subprocess

SOURCE = re.compile(r"^ *-: +0:Source:(.*)$")
LINE = re.compile(r"^ *([-0-9#=]+)\*?: *([0-9]+):")
BLOCK = re.compile(r"^ *([0-9]+|%%%%%|\$\$\$\$\$|-)\*?: *([0-9]+)-block +[0-9]+$")
BRANCH = re.compile(r"^branch +[0-9]+ (?:taken ([0-9]+)|never executed)")
CLOSES = re.compile(r"^[\s{};)]*$")
CATCHES = re.compile(r"^\s*\} catch \(")
SECTIONS = "------------------"


class File:
    """lines: number -> times run. branches: number -> one list of times taken for each function or template instance."""

    def __init__(self):
        self.lines, self.branches = {}, {}


def gcov(counters, *options):
    command = ["gcov", "--stdout", "--branch-probabilities", "--branch-counts", *options, counters.name]
    return subprocess.run(command, cwd=counters.parent, check=True, capture_output=True, text=True).stdout


def read_blocks(text):
    """(file, instance, line) -> for each branch whether only an exception leads to it. Instances: of templates."""
    found, file, instance, line, ends = {}, None, None, 0, False
    exceptional = False
    for row in text.splitlines():
        if match := SOURCE.match(row):
            file, instance = match[1], None
        elif row == SECTIONS:
            instance, ends = None, True
            continue
        elif ends and re.fullmatch(r"\S+:", row):
            instance = row[:-1]
        elif match := BLOCK.match(row):
            exceptional = match[1] == "$$$$$"
        elif match := LINE.match(row):
            line, exceptional = int(match[2]), match[1] == "====="
        elif BRANCH.match(row):
            found.setdefault((file, instance, line), []).append(exceptional)
        ends = False
    return found


def outcomes(branches, exceptional):
    """Times taken of the outcomes of conditions among the branches that gcov gives for a line."""
    kept = []
    for at, branch in enumerate(branches):
        if branch["throw"]:
            # The one before it is the same call's return.
            if kept and kept[-1][0] == at - 1:
                kept.pop()
            continue
        kept.append((at, branch["count"]))
    return [count for at, count in kept if not exceptional[at]]


def count(counters):
    """Of one object's counters: .cpp file -> File."""
    blocks = read_blocks(gcov(counters, "--all-blocks"))
    files = {}
    for entry in json.loads(gcov(counters, "--json-format"))["files"]:
        name = entry["file"]
        if not name.endswith(".cpp"):
            continue
        file = files.setdefault(name, File())
        source = (counters.parent / name).read_text().splitlines()  # an absolute name stays as it is
        for line in entry["lines"]:
            number = line["line_number"]
            if CLOSES.match(source[number - 1]):
                continue
            file.lines[number] = max(file.lines.get(number, 0), line["count"])
            instance = line.get("function_name")
            exceptional = blocks.get((name, instance, number)) or blocks.get((name, None, number), [])
            if len(exceptional) != len(line["branches"]):
                raise ValueError(f"{counters}: {name}:{number}: gcov gives {len(exceptional)} branches in its text and "
                                 f"{len(line['branches'])} in its JSON")
            taken = outcomes(line["branches"], exceptional)
            known = file.branches.setdefault(number, [])
            # Instances of a template have the same conditions: an outcome is taken if one of them takes it.
            same = next((other for other in known if len(other) == len(taken) and instance is not None), None)
            if CATCHES.match(source[number - 1]):
                continue
            if taken and same is not None:
                same[:] = [a + b for a, b in zip(same, taken)]
            elif taken:
                known.append(taken)
    return files


def count_all(folder, root):
    """Every source below `root` whose object below `folder` counts: path -> File. What no program ran counts as not
    run."""
    result = {}
    objects = sorted(pathlib.Path(folder).resolve().rglob("*.gcno"))
    counters = [one.with_suffix(".gcda") if one.with_suffix(".gcda").exists() else one for one in objects]
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for notes, files in zip(objects, pool.map(count, counters)):
            for name, file in files.items():
                path = (notes.parent / name).resolve()
                if path.is_relative_to(root):
                    result[str(path.relative_to(root))] = file
    return result

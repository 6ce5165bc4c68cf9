"""For scripts/coverage: the table, what is listed with a reason, the verdict.

    coverage_report.py FOLDER LEAST_LINES LEAST_BRANCHES

tests/coverage_exceptions.txt: "= REASON" and under it "FILE: TEXT" for each place that it holds for: the lines of FILE
that contain TEXT, of every file where FILE is *; "TEXT ..." also for what follows, to the end of that function. An
entry that matches nothing untested is stale, unless its REASON begins with "sometimes: ".
"""
import pathlib
import sys

from coverage_counts import count_all

EXCEPTIONS = pathlib.Path("tests/coverage_exceptions.txt")


# Of what the order of events decides: it may be taken in one run and not in another.
SOMETIMES = "sometimes: "


class Tally:
    """Of lines or of branches: taken by a test, listed with a reason, neither."""

    def __init__(self, taken=0, listed=0, neither=0):
        self.taken, self.listed, self.neither = taken, listed, neither

    def add(self, other):
        self.taken += other.taken
        self.listed += other.listed
        self.neither += other.neither

    def all(self):
        return self.taken + self.listed + self.neither

    def share(self):
        return 100 * self.taken / self.all() if self.all() else 100

    def cell(self):
        return f"{self.taken}/{self.all()} {self.share():5.1f}%"

    def sentence(self, what):
        return (f"{what}: {self.taken} of {self.all()} taken ({self.share():.1f} %); of the rest {self.listed} listed "
                f"with a reason, {self.neither} not")


def read_exceptions():
    found, reason = [], None
    for line in EXCEPTIONS.read_text().splitlines():
        if line.startswith("= "):
            reason = line[2:]
        elif line and not line.startswith("#"):
            file, text = line.split(": ", 1)
            found.append({"file": file, "text": text, "reason": reason, "lines": 0, "branches": 0})
    return found


def lines_meant(entry, source):
    """The numbers of the lines that an exception holds for."""
    text = entry["text"].removesuffix(" ...")
    numbers, goes_on = set(), False
    for number, line in enumerate(source, 1):
        if text in line:
            numbers.add(number)
            goes_on = entry["text"].endswith(" ...")
        elif goes_on:
            numbers.add(number)
            goes_on = not line.startswith("}")
    return numbers


def tally_file(name, file, exceptions, untested):
    """Lines and branches of one file; appends what has neither test nor reason to `untested`."""
    source = pathlib.Path(name).read_text().splitlines()
    lines, branches = Tally(), Tally()
    own = [(entry, lines_meant(entry, source)) for entry in exceptions if entry["file"] in (name, "*")]
    for number, count in sorted(file.lines.items()):
        outcomes = [count for instance in file.branches.get(number, []) for count in instance]
        missed, is_missed = outcomes.count(0), count == 0
        lines.taken += not is_missed
        branches.taken += len(outcomes) - missed
        if not is_missed and missed == 0:
            continue
        text = source[number - 1].strip()
        reason = next((entry for entry, numbers in own if number in numbers), None)
        if reason is not None:
            reason["lines"] += is_missed
            reason["branches"] += missed
            lines.listed += is_missed
            branches.listed += missed
            continue
        lines.neither += is_missed
        branches.neither += missed
        what = "line" if is_missed else f"{missed} of {len(outcomes)} branches {outcomes}"
        untested.append(f"{name}:{number}: {what}: {text}")
    return lines, branches


def print_exceptions(exceptions):
    """Returns whether all still hold."""
    reason = None
    for entry in exceptions:
        if entry["reason"] != reason:
            reason = entry["reason"]
            print(f"no test, because {reason}:")
        print(f"  {entry['file']}: {entry['text']}   {entry['lines']} lines, {entry['branches']} branches")
    stale = [entry for entry in exceptions
             if entry["lines"] + entry["branches"] == 0 and not entry["reason"].startswith(SOMETIMES)]
    for entry in stale:
        print(f"stale in {EXCEPTIONS}: {entry['file']}: {entry['text']}")
    return not stale


def main():
    folder, least_lines, least_branches = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    exceptions = read_exceptions()
    lines, branches, untested = Tally(), Tally(), []
    print(f"{'file':<48}{'lines':>16}{'branches':>18}")
    for name, file in sorted(count_all(folder, pathlib.Path.cwd()).items()):
        own = tally_file(name, file, exceptions, untested)
        lines.add(own[0])
        branches.add(own[1])
        print(f"{name:<48}{own[0].cell():>16}{own[1].cell():>18}")
    pathlib.Path(f"{folder}/uncovered.txt").write_text("".join(f"{place}\n" for place in untested))
    is_current = print_exceptions(exceptions)
    print(lines.sentence("lines"))
    print(branches.sentence("branches"))
    if untested:
        print(f"{len(untested)} places without test or reason: {folder}/uncovered.txt")
    is_enough = lines.share() >= least_lines and (branches.share() >= least_branches or not untested)
    sys.exit(0 if is_enough and is_current else 1)


if __name__ == "__main__":
    main()

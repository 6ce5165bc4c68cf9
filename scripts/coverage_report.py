"""For scripts/coverage: the table, the exceptions, the verdict.

    coverage_report.py FOLDER LEAST_LINES LEAST_BRANCHES

tests/coverage_exceptions.txt: "= REASON" and under it "FILE: TEXT" for each place that it holds for: the lines of FILE
that contain TEXT. An entry that matches no line without a test is stale.
"""
import json
import pathlib
import sys

EXCEPTIONS = pathlib.Path("tests/coverage_exceptions.txt")


def read_exceptions():
    found, reason = [], None
    for line in EXCEPTIONS.read_text().splitlines():
        if line.startswith("= "):
            reason = line[2:]
        elif line and not line.startswith("#"):
            file, text = line.split(": ", 1)
            found.append({"file": file, "text": text, "reason": reason, "lines": 0, "branches": 0})
    return found


def share(part, whole):
    return f"{part}/{whole} {100 * part / whole if whole else 100:5.1f}%"


def main():
    folder, least_lines, least_branches = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    exceptions = read_exceptions()
    total, uncovered = [0, 0, 0, 0], []
    print(f"{'file':<48}{'lines':>16}{'branches':>18}")
    for entry in sorted(json.load(open(f"{folder}/coverage.json"))["files"], key=lambda e: e["file"]):
        name = entry["file"]
        source = pathlib.Path(name).read_text().splitlines()
        counts = [0, 0, 0, 0]
        for line in entry["lines"]:
            if line.get("gcovr/noncode"):
                continue
            branches = [b for b in line["branches"] if not b.get("throw")]
            missed = sum(b["count"] == 0 for b in branches)
            is_missed = line["count"] == 0
            for at, value in enumerate((not is_missed, 1, len(branches) - missed, len(branches))):
                counts[at] += value
            if not is_missed and missed == 0:
                continue
            text = source[line["line_number"] - 1]
            reasons = [e for e in exceptions if e["file"] == name and e["text"] in text]
            for reason in reasons:
                reason["lines"] += is_missed
                reason["branches"] += missed
            if not reasons:
                what = "line" if is_missed else f"{missed} of {len(branches)} branches"
                uncovered.append(f"{name}:{line['line_number']}: {what}: {text.strip()}")
        total = [a + b for a, b in zip(total, counts)]
        print(f"{name:<48}{share(*counts[:2]):>16}{share(*counts[2:]):>18}")
    pathlib.Path(f"{folder}/uncovered.txt").write_text("\n".join(uncovered) + "\n")
    reason = None
    for entry in exceptions:
        if entry["reason"] != reason:
            reason = entry["reason"]
            print(f"no test, because {reason}:")
        print(f"  {entry['file']}: {entry['text']}   {entry['lines']} lines, {entry['branches']} branches")
    stale = [e for e in exceptions if e["lines"] + e["branches"] == 0]
    for entry in stale:
        print(f"stale in {EXCEPTIONS}: {entry['file']}: {entry['text']}")
    lines, branches = (100 * total[at] / max(1, total[at + 1]) for at in (0, 2))
    print(f"{total[0]} of {total[1]} lines ({lines:.1f} %) and {total[2]} of {total[3]} branches ({branches:.1f} %); "
          f"without test or exception: {len(uncovered)} places, {folder}/uncovered.txt")
    sys.exit(0 if lines >= least_lines and branches >= least_branches and not stale else 1)


if __name__ == "__main__":
    main()

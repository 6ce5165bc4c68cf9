#!/usr/bin/env python3
"""Compiles a small program with counters, runs it, and holds the report of scripts/coverage against what is known of it.

Environment: CXX, a GCC (default g++).
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
import coverage_counts  # noqa: E402

SOURCE = """\
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>
template <typename T>
T least(T a, T b) {
  return a < b ? a : b;                               // each instance takes one outcome
}
int work(int x) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);                  // a call that may throw, and no condition
  const std::vector<std::string> names(2, "name" + std::to_string(x));
  if (x < 0 || x == 100) throw std::runtime_error("never " + std::to_string(x));
  for (const auto& name : names)
    if (name.empty()) return 0;
  try {
    if (x == 1) throw std::logic_error(names[0] + names[1]);
  } catch (const std::logic_error& error) {
    if (std::string(error.what()).empty()) return 7;
  }
  switch (x) {
    case 0:
      return least(1, 2);
    case 1:
      return 1;
    default:
      return static_cast<int>(least(2.0, 1.0)) + static_cast<int>(names.size());
  }
}
int idle(bool is_left) {
  return is_left ? 1 : 2;
}
int main() {
  return work(0) + work(1) + work(2) + work(3) - 8;
}
"""


def line_of(text):
    return next(number for number, line in enumerate(SOURCE.splitlines(), 1) if text in line)


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.place.name).resolve()
        (cls.folder / "tests").mkdir()
        (cls.folder / "build").mkdir()
        (cls.folder / "work.cpp").write_text(SOURCE)
        compiler = os.environ.get("CXX", "g++")
        subprocess.run([compiler, "-std=c++20", "--coverage", "-O0", "-c", cls.folder / "work.cpp", "-o", "build/work.o"],
                       cwd=cls.folder, check=True)
        subprocess.run([compiler, "--coverage", "build/work.o", "-o", "build/program"], cwd=cls.folder, check=True)
        subprocess.run([cls.folder / "build/program"], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def counts(self):
        found = coverage_counts.count_all(self.folder / "build", self.folder)
        self.assertEqual(list(found), ["work.cpp"])
        return found["work.cpp"]

    def report(self, exceptions, least_lines=95, least_branches=95):
        (self.folder / "tests/coverage_exceptions.txt").write_text(exceptions)
        return subprocess.run([sys.executable, "-B", ROOT / "scripts/coverage_report.py", "build", str(least_lines),
                               str(least_branches)], cwd=self.folder, capture_output=True, text=True, check=False)

    def test_branches_are_the_outcomes_of_conditions(self):
        branches = self.counts().branches
        self.assertEqual(sorted(branches[line_of("x < 0 ||")][0]), [0, 0, 4, 4])
        self.assertEqual(sorted(branches[line_of("switch (x)")][0]), [1, 1, 2])
        self.assertEqual(branches[line_of("if (name.empty())")], [[0, 8]])
        self.assertEqual(sorted(branches[line_of("if (x == 1)")][0]), [1, 3])
        self.assertEqual(branches[line_of("is_left ? 1 : 2")], [[0, 0]], "never evaluated: neither is taken")

    def test_calls_and_cleaning_up_have_none(self):
        branches = self.counts().branches
        for text in ("const std::lock_guard", "names(2, ", "work(0) + work(1)", "least(2.0, 1.0)", "catch ("):
            self.assertFalse(branches.get(line_of(text)), text)

    def test_instances_of_a_template_count_once(self):
        self.assertEqual(self.counts().branches[line_of("a < b ? a : b")], [[1, 2]])

    def test_lines(self):
        lines = self.counts().lines
        self.assertEqual(lines[line_of("int work")], 4)
        self.assertEqual(lines[line_of("int idle")], 0)
        self.assertEqual(lines[line_of("return 1;")], 1)
        self.assertNotIn(line_of("catch (") + 2, lines, "it only closes blocks")

    def test_what_is_neither_taken_nor_listed_is_named_and_fails(self):
        result = self.report("", 80)
        self.assertEqual(result.returncode, 1, result.stdout)
        untested = (self.folder / "build/uncovered.txt").read_text()
        self.assertIn(f"work.cpp:{line_of('x < 0 ||')}: 2 of 4 branches", untested)
        self.assertIn(f"work.cpp:{line_of('is_left ? 1 : 2')}: line: return is_left ? 1 : 2;", untested)
        self.assertEqual(self.report("", 80, 60).returncode, 0)
        self.assertEqual(self.report("", 95, 60).returncode, 1, "too few lines")

    def test_reasons_explain_branches_but_take_none(self):
        listed = ("= a sample\nwork.cpp: x < 0\nwork.cpp: name.empty\nwork.cpp: empty()) return 7\n*: int idle(bool is_left) ...\n")
        result = self.report(listed, 80)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertRegex(result.stdout, r"branches: \d+ of \d+ taken \([6-8][0-9]\.\d %\); of the rest 6 listed with a "
                                        r"reason, 0 not")
        self.assertEqual((self.folder / "build/uncovered.txt").read_text(), "")
        stale = self.report(listed + "work.cpp: int work(int x)\n", 80)
        self.assertEqual(stale.returncode, 1)
        sometimes = self.report(listed + "= sometimes: by chance\nwork.cpp: int work(int x)\n", 80)
        self.assertEqual(sometimes.returncode, 0, sometimes.stdout)
        self.assertIn("stale in tests/coverage_exceptions.txt: work.cpp: int work(int x)", stale.stdout)


if __name__ == "__main__":
    unittest.main()

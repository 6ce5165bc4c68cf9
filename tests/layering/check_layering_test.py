#!/usr/bin/env python3
"""Plants every kind of breach in a copy of the tree and in a made-up build, and sees the checks find each at its place.

Environment: CXX, a compiler driver, makes the objects of the made-up build (default g++).
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import check_layering as layering
from plan import LIBRARIES, MAY_SEE

ROOT = pathlib.Path(__file__).resolve().parents[2]


def findings(check, *arguments):
    out = layering.Findings()
    check(*arguments, out)
    return out


class TreeChecks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name) / "tree"
        cls.unplanted = {}
        ignore = shutil.ignore_patterns("__pycache__", "quickstart", "*.h5", "*.bin")
        for top in LIBRARIES + ["tests", "scripts", "cmake", "configs"]:
            shutil.copytree(ROOT / top, cls.root / top, ignore=ignore)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def plant(self, check, path, text, expected):
        """Writes a new file, expects one more finding that names it and contains `expected`, and none without it."""
        target = self.root / path
        self.assertFalse(target.exists(), path)
        if check not in self.unplanted:
            self.unplanted[check] = set(findings(check, self.root).bad_lines)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.write_text(text)
            new = set(findings(check, self.root).bad_lines) - self.unplanted[check]
        finally:
            target.unlink()
        self.assertEqual(len(new), 0 if expected is None else 1, new)
        if expected is not None:
            line = new.pop()
            self.assertTrue(line.startswith(str(path)), line)
            self.assertIn(expected, line)

    def test_every_forbidden_direction_of_includes(self):
        headers = {"kernels": "kernels/runtime/error.h", "parallel": "parallel/planted_target.h",
                   "data": "data/planted_target.h", "moe": "moe/planted_target.h", "app": "app/planted_target.h"}
        for header in headers.values():
            if not (self.root / header).exists():
                (self.root / header).write_text("#pragma once\n")
                self.addCleanup((self.root / header).unlink)
        for top in LIBRARIES:
            for other in LIBRARIES:
                permitted = other == top or other in MAY_SEE[top]
                with self.subTest(top=top, other=other):
                    self.plant(layering.check_includes, f"{top}/planted/file.h", f'#include "{headers[other]}"\n',
                               None if permitted else f'{top} may include')

    def test_nobody_includes_tests(self):
        for top in LIBRARIES:
            self.plant(layering.check_includes, f"{top}/planted.h", '#  include "tests/support/op_test.h"\n',
                       "may include")

    def test_third_party_headers_outside_their_place(self):
        plants = [("moe/planted.h", "mpi.h"), ("app/train/planted.h", "mpi.h"), ("data/planted.h", "hdf5.h"),
                  ("data/tokens/shard/planted.cpp", "hdf5.h"), ("app/planted.h", "H5Cpp.h"),
                  ("app/commands/planted.h", "yaml-cpp/yaml.h"), ("data/planted.h", "yaml-cpp/yaml.h"),
                  ("kernels/cpu/planted.h", "cuda_runtime.h"), ("moe/planted.h", "cublas_v2.h"),
                  ("kernels/cuda/planted.h", "nccl.h"), ("kernels/ops/planted.h", "dnnl.hpp"),
                  ("kernels/ops/planted.h", "oneapi/dnnl/dnnl.hpp"), ("moe/planted.h", "filesystem"),
                  ("kernels/planted.h", "gtest/gtest.h"), ("moe/planted.h", "nlohmann/json.hpp"),
                  ("moe/planted.h", "never_heard_of/it.h")]
        for path, header in plants:
            with self.subTest(path=path, header=header):
                self.plant(layering.check_includes, path, f"// line one\n#include <{header}>\n", f"<{header}>")

    def test_third_party_headers_in_their_place_and_in_comments(self):
        for path, line in [("parallel/planted.h", "#include <mpi.h>"), ("app/config/planted.h", "#include <yaml-cpp/yaml.h>"),
                           ("kernels/cuda/planted.h", "#include <cuda_runtime.h>"), ("moe/planted.h", "// #include <mpi.h>"),
                           ("moe/planted.h", "/* see\n#include <mpi.h>\n*/"), ("moe/planted.h", "#include <vector>")]:
            with self.subTest(path=path, line=line):
                self.plant(layering.check_includes, path, line + "\n", None)

    def test_includes_that_miss_or_hide(self):
        self.plant(layering.check_includes, "moe/planted.h", '#include "planted_neighbour.h"\n', "paths from the root")
        self.plant(layering.check_includes, "moe/planted.h", "#include HIDDEN_HEADER\n", "names its file")

    def test_links(self):
        def link(library):
            return f"target_link_libraries(some_target PUBLIC fmt::fmt\n  {library})\n"

        plants = [("moe/planted", "switchyard_data"), ("kernels/planted", "switchyard_parallel"),
                  ("parallel/planted", "switchyard_data"), ("data/planted", "switchyard_parallel"),
                  ("moe/planted", "switchyard_app"), ("moe/planted", "MPI::MPI_CXX"), ("app/planted", "hdf5::hdf5"),
                  ("app/planted", "yaml-cpp"), ("kernels/cpu/planted", "CUDA::cudart"), ("moe/planted", "DNNL::dnnl"),
                  ("moe/planted", "GTest::gtest"), ("moe/planted", "${MPI_CXX_LIBRARIES}"), ("moe/planted", "unheard_of"),
                  ("app/planted", "switchyard_test_support")]
        for folder, library in plants:
            with self.subTest(folder=folder, library=library):
                self.plant(layering.check_links, f"{folder}/CMakeLists.txt", link(library), library)
        self.plant(layering.check_links, "tests/moe/planted/CMakeLists.txt",
                   "switchyard_test(a LABELS unit SOURCES a.cpp LIBRARIES MPI::MPI_CXX)\n", "MPI::MPI_CXX")
        for folder, library in [("app/planted", "switchyard_moe"), ("parallel/planted", "MPI::MPI_CXX"),
                                ("moe/planted", "switchyard_kernels # MPI::MPI_CXX")]:
            with self.subTest(folder=folder, library=library):
                self.plant(layering.check_links, f"{folder}/CMakeLists.txt", link(library + "\n"), None)

    def test_sources_that_nothing_builds(self):
        self.plant(layering.check_sources, "moe/planted.cpp", "int planted;\n", "named in a CMakeLists.txt")

    def test_words(self):
        for word in ["/wor" + "k/main", "/ho" + "me/me", "iss" + "ue #3", "an ag" + "ent", "TO" + "DO"]:
            with self.subTest(word=word):
                self.plant(layering.check_words, "moe/planted.h", f"// fine\n// {word}\n", "planted.h:2")
        self.plant(layering.check_words, "moe/planted.h", "// agenda, working, issues\n", None)

    def test_sizes(self):
        self.plant(layering.check_sizes, "moe/planted.h", "\n" * 801, "at most 800 lines")
        self.plant(layering.check_sizes, "moe/planted.h", "\n" * 800, None)
        (self.root / "moe/planted.h").write_text("\n" * 301)
        self.assertTrue(any("moe/planted.h" in line for line in findings(layering.check_sizes, self.root).warnings))
        (self.root / "moe/planted.h").unlink()


class BuildChecks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)

    def archive(self, library, name, code):
        """Makes libswitchyard_LIBRARY.a from one source."""
        folder = self.build / library
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(code)
        compiler = os.environ.get("CXX", "g++")
        subprocess.run([compiler, "-c", name, "-o", name + ".o"], cwd=folder, check=True)
        subprocess.run(["ar", "rcs", f"libswitchyard_{library}.a", name + ".o"], cwd=folder, check=True)

    def test_symbols(self):
        call = 'extern "C" void {0}(); void planted() {{ {0}(); }}\n'
        folder_call = "namespace switchyard::{0} {{ void f(); }} void planted() {{ switchyard::{0}::f(); }}\n"
        yaml = "namespace YAML { struct Node { void f(); }; } void planted() { YAML::Node().f(); }\n"
        cases = [("moe", "a.cpp", call.format("MPI_Send"), True), ("parallel", "a.cpp", call.format("MPI_Send"), False),
                 ("data", "a.cpp", call.format("H5Fopen"), True),
                 ("data", "hdf5_layout.cpp", call.format("H5Fopen"), False),
                 ("app", "hdf5_layout.cpp", call.format("H5Fopen"), True), ("moe", "a.cpp", yaml, True),
                 ("app", "a.cpp", yaml, False), ("parallel", "a.cpp", call.format("cudaMalloc"), True),
                 ("moe", "a.cpp", folder_call.format("data"), True), ("data", "a.cpp", folder_call.format("parallel"), True),
                 ("moe", "a.cpp", folder_call.format("parallel"), False)]
        for library in LIBRARIES:
            self.archive(library, "clean.cpp", "int clean;\n")
        self.assertEqual(findings(layering.check_symbols, ROOT, self.build).bad_lines, [])
        for library, name, code, breach in cases:
            with self.subTest(library=library, name=name, code=code):
                self.archive(library, name, code)
                found = findings(layering.check_symbols, ROOT, self.build).bad_lines
                self.assertEqual(len(found), 1 if breach else 0, found)
                self.archive(library, name, "int clean;\n")

    def test_missing_library_is_a_finding(self):
        found = findings(layering.check_symbols, ROOT, self.build).bad_lines
        self.assertEqual(len(found), len(LIBRARIES))

    def test_registered(self):
        root = self.build / "tree"
        (root / "tests").mkdir(parents=True)
        for top in LIBRARIES:
            (root / top).mkdir()
        (root / "tests/a_test.cpp").write_text("")
        compiled = [{"directory": str(root), "file": "tests/a_test.cpp"}]

        def check(commands, properties, sanitize=""):
            (self.build / "CMakeCache.txt").write_text(f"SWITCHYARD_SANITIZE:STRING={sanitize}\n")
            (self.build / "compile_commands.json").write_text(json.dumps(commands))
            (self.build / "CTestTestfile.cmake").write_text(
                f'add_test(a "/bin/true")\nset_tests_properties(a PROPERTIES {properties})\n')
            return findings(layering.check_registered, root, self.build).bad_lines

        self.assertEqual(check(compiled, 'LABELS "unit;slow" TIMEOUT 10'), [])
        self.assertIn("every test is built", check([], "LABELS unit TIMEOUT 10")[0])
        (root / "tests/a_test.cpp").rename(root / "tests/isa_symbols_test.cpp")
        self.assertIn("every test is built", check([], "LABELS unit TIMEOUT 10")[0])
        self.assertEqual(check([], "LABELS unit TIMEOUT 10", sanitize="address"), [])
        (root / "tests/isa_symbols_test.cpp").unlink()
        self.assertIn("labels are of", check(compiled, "LABELS quick TIMEOUT 10")[0])
        self.assertIn("got none", check(compiled, "TIMEOUT 10")[0])
        self.assertIn("TIMEOUT", check(compiled, "LABELS unit")[0])


if __name__ == "__main__":
    sys.exit(unittest.main())

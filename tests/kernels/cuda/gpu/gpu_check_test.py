"""scripts/gpu_check, as far as a machine without a GPU can show it: bundles that run elsewhere, usage, exit codes."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[4] / "scripts/gpu_check"
COMPILER = os.environ.get("CXX", "c++")


class GpuCheck(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.environ["PATH"]

    def run_script(self, *arguments, script=SCRIPT):
        environment = dict(os.environ, PATH=self.path)
        return subprocess.run([str(script), *map(str, arguments)], capture_output=True, text=True, check=False,
                              env=environment, cwd=self.folder)

    def plant(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def build(self, rpath="-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"):
        """A program and a library of its own, which needs another."""
        build = self.folder / "build"
        (build / "deep").mkdir(parents=True)
        for name, source, needs in (("inner", "int inner() { return 7; }", []),
                                    ("outer", "int inner(); int outer() { return inner() * 6; }", ["-linner"])):
            (build / f"{name}.cpp").write_text(source)
            subprocess.run([COMPILER, "-shared", "-fPIC", "-o", build / f"deep/lib{name}.so", build / f"{name}.cpp",
                            f"-L{build}/deep", *needs], check=True)
        (build / "main.cpp").write_text("int outer(); int main() { return outer() - 42; }")
        subprocess.run([COMPILER, "-o", build / "switchyard", build / "main.cpp", f"-L{build}/deep", "-louter", "-linner",
                        *rpath.split()], check=True)
        return build

    def bundle(self, build):
        os.environ["LD_LIBRARY_PATH"] = str(build / "deep")
        try:
            return self.run_script("bundle", "--build", build, "--output", self.folder / "out")
        finally:
            del os.environ["LD_LIBRARY_PATH"]

    def pretend_gpu(self):
        self.plant(self.folder / "tools/nvidia-smi", "#!/bin/sh\necho 'GPU 0: pretended'\n")
        self.path = f"{self.folder / 'tools'}:{self.path}"

    def make_bundle(self, op_test):
        self.plant(self.folder / "bundle/bin/switchyard", "#!/bin/sh\necho switchyard \"$@\"\n")
        self.plant(self.folder / "bundle/bin/gpu_op_test", op_test)
        shutil.copy(SCRIPT.parent / "launch", self.folder / "bundle")
        return self.folder / "bundle"

    def test_a_bundle_runs_where_the_build_is_gone(self):
        build = self.build()
        done = self.bundle(build)
        self.assertEqual(done.returncode, 0, done.stderr)
        moved = self.folder / "elsewhere"
        (self.folder / "out").rename(moved)
        shutil.rmtree(build)
        self.assertEqual(sorted(p.name for p in (moved / "lib").glob("lib*er.so")), ["libinner.so", "libouter.so"])
        self.assertFalse(list((moved / "lib").glob("libc.so*")))
        self.assertEqual(subprocess.run([moved / "bin/switchyard"], check=False).returncode, 0)
        for script in ("gpu_check", "launch", "configs/tiny.yaml"):
            self.assertTrue((moved / script).exists(), script)

    def test_programs_that_look_elsewhere_are_refused(self):
        done = self.bundle(self.build(rpath="-Wl,-rpath,/nowhere"))
        self.assertEqual(done.returncode, 3)
        self.assertIn("does not look for libraries", done.stderr)

    def test_a_missing_library_is_named(self):
        build = self.build()
        (build / "deep/libinner.so").unlink()
        done = self.bundle(build)
        self.assertEqual(done.returncode, 3)
        self.assertIn("needs libinner.so", done.stderr)

    def test_usage(self):
        for arguments in ([], ["nonsense"], ["run", "--only", "nonsense"], ["run", "--nonsense"],
                          ["run", "--peer", "/nowhere"]):
            self.assertEqual(self.run_script(*arguments).returncode, 2, arguments)
        self.assertEqual(self.run_script("--help").returncode, 0)

    def test_no_gpu_and_no_bundle_are_said(self):
        self.plant(self.folder / "tools/nvidia-smi", "#!/bin/sh\nexit 9\n")
        self.path = f"{self.folder / 'tools'}:{self.path}"
        done = self.run_script("run")
        self.assertEqual((done.returncode, "no GPU" in done.stderr), (3, True))
        self.pretend_gpu()
        done = self.run_script("run", "--bundle", self.folder / "none")
        self.assertEqual((done.returncode, "no bundle" in done.stderr), (3, True))

    def test_stages_pass_fail_or_say_why_they_did_not_run(self):
        self.pretend_gpu()
        bundle = self.make_bundle("#!/bin/sh\necho 12 tests\n")
        done = self.run_script("run", "--bundle", bundle, "--report", "r.txt", "--only", "device", "--only", "ops")
        report = (self.folder / "r.txt").read_text()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("== ops: passed", report)
        self.assertIn("12 tests", report)
        self.assertIn("switchyard --version", report)
        done = self.run_script("run", "--bundle", bundle, "--report", "r.txt", "--only", "ops", "--only", "peer")
        self.assertEqual(done.returncode, 4)
        self.assertIn("== peer: NOT RUN\nno --peer was named", (self.folder / "r.txt").read_text())
        bundle = self.make_bundle("#!/bin/sh\necho wrong; exit 1\n")
        done = self.run_script("run", "--bundle", bundle, "--report", "r.txt", "--only", "ops", "--only", "model")
        self.assertEqual(done.returncode, 1)
        self.assertIn("== ops: FAILED with exit code 1", (self.folder / "r.txt").read_text())
        self.assertIn("== model: NOT RUN\nthe bundle has no program", (self.folder / "r.txt").read_text())

    def test_layouts_are_compared_on_the_gpu_by_threads_and_by_processes(self):
        self.pretend_gpu()
        self.plant(self.folder / "tools/mpirun", "#!/bin/sh\n[ $1 = --version ] || { echo mpirun \"$@\"; shift 2; exec \"$@\"; }\n")
        bundle = self.make_bundle("#!/bin/sh\n")
        done = self.run_script("run", "--bundle", bundle, "--only", "bits", "--only", "ranks")
        report = (self.folder / "gpu_check.txt").read_text()
        self.assertEqual(done.returncode, 0, done.stdout)
        verify = f"verify {bundle}/configs/tiny.yaml --set run.device=cuda"
        self.assertIn(f"== bits: passed in 0 s\nswitchyard {verify}\n", report)
        for ranks in (2, 4):
            self.assertIn(f"mpirun -n {ranks} {bundle}/bin/switchyard {verify}\nswitchyard {verify}\n", report)
        self.plant(bundle / "bin/switchyard", "#!/bin/sh\nexit 6\n")
        done = self.run_script("run", "--bundle", bundle, "--only", "bits", "--only", "ranks")
        report = (self.folder / "gpu_check.txt").read_text()
        self.assertEqual(done.returncode, 1)
        self.assertIn("== bits: FAILED with exit code 6", report)
        self.assertIn("== ranks: FAILED with exit code 1", report)

    def test_the_peer_is_told_the_device(self):
        self.pretend_gpu()
        self.plant(self.folder / "peer", "#!/bin/sh\necho peer got \"$@\"\n")
        done = self.run_script("run", "--bundle", self.make_bundle("#!/bin/sh\n"), "--peer", self.folder / "peer",
                               "--only", "peer")
        self.assertEqual(done.returncode, 0)
        self.assertIn("peer got --device cuda", (self.folder / "gpu_check.txt").read_text())


if __name__ == "__main__":
    sys.exit(unittest.main())

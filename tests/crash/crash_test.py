#!/usr/bin/python3
"""Crashes of real processes on real files, as many as fit in a CI run; run.py has the long ones, docs/testing.md says what came of
them. A user who loses this loses what he was told was safe, to a power button, a full disk or an impatient Ctrl-\\.

ZN_CRASH_KILLS (500), ZN_CRASH_FAILURES (150), ZN_CRASH_IMAGES (200), ZN_CRASH_CUTS (50) are how many; ZN_SEED the first seed.
"""
import os
import random
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cuts  # noqa: E402
import harness  # noqa: E402
import images  # noqa: E402
import syscalls  # noqa: E402
from workloads import Broken, Planned, every  # noqa: E402

SEED = int(os.environ.get("ZN_SEED", 1))


def wanted(kind, otherwise):
    return int(os.environ.get(f"ZN_CRASH_{kind}", otherwise))


def strace_works():
    try:
        return subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


needs_strace = unittest.skipUnless(strace_works(), "strace cannot trace here: no kills and no failures at system calls")


class Crashes(unittest.TestCase):
    def run_cases(self, kind, count, **more):
        with harness.Run() as run:
            run.cases(kind, count, SEED, **more)
            self.assertEqual(run.counts[kind], count)
            self.assertEqual(run.findings, [])
            print(f"{count} cases of {kind}", file=sys.stderr)

    @needs_strace
    def test_killed_at_system_calls(self):
        self.run_cases("kill", wanted("KILLS", 500))

    @needs_strace
    def test_system_calls_fail(self):
        self.run_cases("fail", wanted("FAILURES", 150))

    def test_power_cuts_in_user_space(self):
        self.run_cases("image", wanted("IMAGES", 200))

    @unittest.skipUnless(cuts.possible(), cuts.WHY)
    def test_power_cuts_of_file_systems(self):
        self.run_cases("cut", wanted("CUTS", 50))

    def test_killed_at_moments(self):
        rng = random.Random(SEED)
        with harness.Run() as run:
            for _ in range(wanted("MOMENTS", 30)):
                name = rng.choice(["import", "import-more", "import-first", "group", "packs", "backup", "restore"])
                case = f"kill/{name}/{SEED}/time:{rng.uniform(0, 0.06):.4f}"
                if found := harness.run_case(run.root, case):
                    run.findings.append((case, found))
            self.assertEqual(run.findings, [])


class PlantedBugs(unittest.TestCase):
    """Each kind of bug that the harness is for is planted, and found."""

    def setUp(self):
        self.run_ = harness.Run(1)
        self.addCleanup(shutil.rmtree, self.run_.root, ignore_errors=True)
        self.folder = harness.case_folder(self.run_.root)

    def assert_found(self, name, plant, most=120, options=()):
        workload = every()[name]
        if options:
            workload = Planned(name, workload.before, workload.steps, options)
        for point in range(most):
            try:
                images.run_case(workload, self.run_.root, self.folder, SEED, str(point), plant)
            except Broken as found:
                print(f"{plant or options} found with image {point}: {str(found)[:200]}", file=sys.stderr)
                return
        self.fail(f"{plant or options} was not found in {most} images")

    def test_a_missing_fdatasync_is_found(self):
        self.assert_found("edits", "no-file-sync")

    def test_a_missing_directory_sync_is_found(self):
        self.assert_found("packs", "no-dir-sync")

    def test_an_index_written_before_its_data_is_found(self):
        self.assert_found("packs", "index-before-data")

    def test_an_acknowledgement_before_the_flush_is_found(self):
        self.assert_found("edits", "", options=["early-ack"])

    @needs_strace
    def test_kills_find_an_acknowledgement_before_the_flush(self):
        edits = every()["edits"]
        workload = Planned("edits", edits.before, edits.steps, ["early-ack"])
        for point in syscalls.kill_points(workload, self.run_.root, self.folder, SEED):
            workload.fresh(self.run_.root, self.folder, SEED)
            try:
                workload.judge(self.folder, SEED, syscalls.kill(workload, self.folder, SEED, point))
            except Broken as found:
                print(f"found by {point}: {str(found)[:200]}", file=sys.stderr)
                return
        self.fail("an acknowledgement before the flush was not found by any kill")

    @unittest.skipUnless(cuts.possible(), cuts.WHY)
    def test_power_cuts_find_a_missing_fdatasync(self):
        workload = every()["edits"]
        for kind in cuts.FILE_SYSTEMS:
            for n in range(1, workload.steps - workload.before + 1):
                try:
                    cuts.run_case(workload, self.run_.root, self.folder, SEED, f"{kind}:ack:{n}", "no-file-sync")
                except Broken as found:
                    print(f"found on {kind}: {str(found)[:200]}", file=sys.stderr)
                    break
            else:
                self.fail(f"a missing fdatasync was not found on {kind}")

    def test_nothing_is_found_without_a_bug(self):
        for name in ("edits", "packs"):
            for point in range(30):
                images.run_case(every()[name], self.run_.root, self.folder, SEED, str(point))


if __name__ == "__main__":
    unittest.main()

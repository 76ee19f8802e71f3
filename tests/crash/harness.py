"""Runs cases, each in a folder of its own: KIND/WORKLOAD/SEED/POINT names one, and repeats it."""
import collections
import concurrent.futures
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cuts
import images
import syscalls
from workloads import Broken, every

HERE = Path(__file__).resolve().parent


def place():
    """Where cases are: in memory where that is possible, as what survives a crash is not the device's business here."""
    chosen = os.environ.get("ZN_CRASH_DIR")
    return chosen or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def case_folder(root):
    return Path(root) / f"case-{os.getpid()}"


def run_case(root, case):
    """What is found ("" when nothing is); the folder is kept if anything is."""
    kind, name, seed, point = case.split("/", 3)
    workload, seed, folder = every()[name], int(seed), case_folder(root)
    try:
        if kind in ("kill", "fail"):
            workload.fresh(root, folder, seed)
            code = getattr(syscalls, kind)(workload, folder, seed, point)
            workload.judge(folder, seed, code)
        elif kind == "image":
            images.run_case(workload, root, folder, seed, point)
        else:
            cuts.run_case(workload, root, folder, seed, point)
        return ""
    except Broken as found:
        kept = Path(root) / "found" / case.replace("/", "-")
        kept.parent.mkdir(exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        if folder.exists():
            shutil.move(folder, kept)
        return f"{found}\n    kept: {kept}\n    again: tests/crash/run.py --only '{case}'"


def safe_case(arguments):
    root, case = arguments
    begin = time.monotonic()
    try:
        found = run_case(root, case)
    except Exception as error:  # of the harness: to be told, not to end a long run
        found = f"the harness failed: {type(error).__name__}: {error}"
    return case, found, time.monotonic() - begin


def list_points(arguments):
    root, kind, name, seed = arguments
    folder = case_folder(root)
    lister = {"kill": syscalls.kill_points, "fail": syscalls.fail_points, "image": images.points, "cut": cuts.points}[kind]
    try:
        return [f"{kind}/{name}/{seed}/{point}" for point in lister(every()[name], root, folder, seed)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def choose(pool, root, kind, count, first_seed, names):
    """`count` cases, evenly from the workloads, of as many seeds as it takes."""
    rng, chosen, seed = random.Random(first_seed), collections.OrderedDict(), first_seed
    while len(chosen) < count:
        lists = list(pool.map(list_points, [(root, kind, name, seed) for name in names]))
        for cases in lists:
            rng.shuffle(cases)
        # A seed gives all it has when many are wanted, and a share of each workload's when few are.
        left = count - len(chosen)
        share = max(1, -(-left // len(lists)))
        for cases in lists:
            for case in cases[:share]:
                chosen.setdefault(case)
        seed += 1
    found = list(chosen)
    rng.shuffle(found)
    # Seed by seed, as what they begin with is kept for some.
    return sorted(found[:count], key=lambda case: int(case.split("/")[2]))


class Run:
    """Cases of several kinds, on some processes, with a log from which an interrupted run goes on."""

    def __init__(self, jobs=None, log=None, keep=None, seconds=None):
        self.root = keep or tempfile.mkdtemp(prefix="zn-crash-", dir=place())
        Path(self.root).mkdir(exist_ok=True)
        self.jobs = jobs or os.cpu_count()
        self.log = Path(log) if log else None
        self.counts, self.findings = collections.Counter(), []
        self.begin = time.monotonic()
        self.end = self.begin + seconds if seconds else None

    def __enter__(self):
        self.pool = concurrent.futures.ProcessPoolExecutor(self.jobs)
        return self

    def __exit__(self, *_):
        self.pool.shutdown(cancel_futures=True)
        if not self.findings:
            shutil.rmtree(self.root, ignore_errors=True)

    def cases(self, kind, count, seed=1, names=None, report=None):
        """Runs `count` cases of the kind, those of the log aside."""
        done = set()
        if self.log and self.log.exists():
            done = {line.split("\t")[0] for line in self.log.read_text().splitlines()}
        names = [name for name in names or every() if kind in every()[name].kinds]
        cases = choose(self.pool, self.root, kind, count, seed, names)
        self.counts[kind] += sum(case in done for case in cases)
        left = [case for case in cases if case not in done]
        for at in range(0, len(left), 50 * self.jobs):
            for case, found, seconds in self.pool.map(safe_case, [(self.root, case) for case in left[at:at + 50 * self.jobs]], chunksize=5):
                self.counts[kind] += 1
                if found:
                    self.findings.append((case, found))
                    print(f"{case}: {found}", file=sys.stderr, flush=True)
                if self.log:
                    with self.log.open("a") as log:
                        log.write(f"{case}\t{'found' if found else 'sound'}\t{seconds:.2f}\n")
            if report:
                report(f"{kind}: {self.counts[kind]} of {count}, {len(self.findings)} findings, {time.monotonic() - self.begin:.0f} s")
            if self.end and time.monotonic() > self.end:
                return

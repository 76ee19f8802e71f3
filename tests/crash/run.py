#!/usr/bin/python3
"""Crashes of all four kinds, as many as asked for: the long runs (docs/testing.md).

    tests/crash/run.py --kills 10000 --failures 2000 --log crash.log   # goes on where it was interrupted
    tests/crash/run.py --images 2000 --cuts 2000 --jobs 1
    tests/crash/run.py --only 'kill/edits/3/fdatasync:7'               # one case again, and its folder is kept
"""
import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import harness  # noqa: E402
from workloads import every  # noqa: E402

KINDS = {"kills": "kill", "failures": "fail", "images": "image", "cuts": "cut"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in KINDS:
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1, help="the first of as many as it takes")
    parser.add_argument("--jobs", type=int, help="default: one a core")
    parser.add_argument("--workload", action="append", choices=sorted(every()), help="only this one (repeatable)")
    parser.add_argument("--log", help="file with the cases that are done; they are not done again")
    parser.add_argument("--keep", help="folder for the cases, instead of one that is removed when nothing is found")
    parser.add_argument("--only", help="KIND/WORKLOAD/SEED/POINT: one case")
    parser.add_argument("--seconds", type=float, help="stop then; the next run with the same log goes on")
    arguments = parser.parse_args()
    if arguments.only:
        with harness.Run(1, keep=arguments.keep) as run:
            found = harness.run_case(run.root, arguments.only)
            print(found or "nothing found")
            run.findings = [found] if found else []
            sys.exit(bool(found))
    begin = time.monotonic()
    with harness.Run(arguments.jobs, arguments.log, arguments.keep, arguments.seconds) as run:
        for name, kind in KINDS.items():
            if count := getattr(arguments, name):
                run.cases(kind, count, arguments.seed, arguments.workload, report=lambda text: print(text, flush=True))
        print(f"{dict(run.counts)}: {len(run.findings)} findings in {time.monotonic() - begin:.0f} s")
        sys.exit(bool(run.findings))


if __name__ == "__main__":
    main()

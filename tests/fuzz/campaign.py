#!/usr/bin/python3
"""Runs fuzz targets until each has had so many executions, and counts them.

  tools/build fuzz && tests/fuzz/campaign.py --jobs 2                   # all targets, 10 million each
  tests/fuzz/campaign.py --goal 1000000 codec_zstd zarr_metadata
  tests/fuzz/campaign.py --report                                       # what was counted so far

Rounds of a million are counted in build/fuzz/campaign.tsv, so that an interrupted campaign goes on. It runs in the idle class: beside other work
it takes what is left. A finding stops its target and stays in build/fuzz/findings; what found something new is in build/fuzz/corpus.
"""
import argparse
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
BUILD = SOURCE / "build/fuzz"
COUNTS = BUILD / "campaign.tsv"
# Short inputs make fast runs; these need longer ones to say anything.
LENGTHS = {"zarr_metadata": 400, "codec_rounded": 256, "zarr_shard": 256, "zip": 512, "group": 512, "http": 512, "tree_node": 1024,
           "room_records": 1024, "extxyz": 256, "body_json": 256, "body_msgpack": 256, "pack_index": 512}
OPTIONS = ["-timeout=3600", "-report_slow_units=3600", "-rss_limit_mb=4096", "-print_final_stats=1", "-reload=0"]
# Quarantine for what one execution frees, which is little; a larger one is nothing but cache misses.
ENVIRONMENT = {"ASAN_OPTIONS": "quarantine_size_mb=1:thread_local_quarantine_size_kb=64:malloc_context_size=8"}
# libhdf5 crashes on some damaged files: docs/fuzzing.md.
NOT_A_GATE = {"h5md"}
lock = threading.Lock()


def counted():
    """Target -> executions so far."""
    counts = {}
    if COUNTS.exists():
        for line in COUNTS.read_text().splitlines():
            target, executions = line.split("\t")[:2]
            counts[target] = counts.get(target, 0) + int(executions)
    return counts


def run_round(target, executions, commit):
    """False when something was found."""
    corpus, findings = BUILD / "corpus" / target, BUILD / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    seeds = SOURCE / "tests/fuzz/corpus" / target
    begin = time.monotonic()
    done = subprocess.run(
        ["chrt", "-i", "0", "nice", "-n", "19", BUILD / "bin" / f"fuzz_{target}", corpus, *([seeds] if seeds.is_dir() else []), *OPTIONS,
         f"-runs={executions}", f"-max_len={LENGTHS.get(target, 128)}", f"-artifact_prefix={findings}/{target}-"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **ENVIRONMENT})
    output = done.stdout.decode(errors="replace")
    (BUILD / f"campaign-{target}.log").write_text(output)
    match = re.search(r"number_of_executed_units:\s*(\d+)", output)
    with lock, COUNTS.open("a") as file:
        print(target, match[1] if match else 0, commit, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), done.returncode,
              f"{time.monotonic() - begin:.0f}", sep="\t", file=file)
    if done.returncode:
        print(f"{target}: exit {done.returncode}\n{output[-3000:]}", flush=True)
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="without fuzz_; default: all that are built")
    parser.add_argument("--goal", type=int, default=10_000_000, help="executions of each target (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.report:
        for target, executions in sorted(counted().items()):
            print(f"{target}\t{executions:,}")
        return
    commit = subprocess.run(["git", "-C", SOURCE, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    built = sorted(path.name[len("fuzz_"):] for path in (BUILD / "bin").glob("fuzz_*"))
    targets = options.targets or [target for target in built if target not in NOT_A_GATE]
    if unknown := set(targets) - set(built):
        sys.exit(f"not built: {', '.join(sorted(unknown))}; tools/build fuzz makes {', '.join(built) or 'them'}")
    found = []

    def work():
        while True:
            with lock:
                if not targets:
                    return
                target = targets.pop(0)
            while (left := options.goal - counted().get(target, 0)) > 0:
                if not run_round(target, min(left, 1_000_000), commit):
                    found.append(target)
                    break
    threads = [threading.Thread(target=work) for _ in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if found:
        sys.exit(f"findings: {', '.join(found)}")


if __name__ == "__main__":
    main()

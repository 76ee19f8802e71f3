#!/usr/bin/python3
"""Runs histories of seeds FIRST to FIRST + COUNT - 1 and prints what is found: the long runs (docs/testing.md).

    tests/histories/run.py --count 1000
    tests/histories/run.py --count 40 --kills 5     # 200 times kill -9
"""
import argparse
import asyncio
import collections
import concurrent.futures
import os
import sys
import tempfile
import time
from pathlib import Path

from history import Server, play

FRESH_STORE = 4  # runs of one store


def run_store(seeds, program, forgetful, until, options):
    """The runs of these seeds over one store: findings, and how much there was to find them in. `until`: as in run()."""
    findings, totals = [], collections.Counter()
    with tempfile.TemporaryDirectory(prefix="zn-histories-") as folder:
        store = Path(folder) / "store"
        server = Server(store, "--create", *(["--events-kept", 8] if forgetful else []), program=program)
        try:
            for seed in seeds:
                history, found, server = asyncio.run(play(server, store, seed, **options))
                findings += [(f"seed {seed}", *finding) for finding in found]
                totals["runs"] += 1
                totals["commits"] += len(history.states) - 1
                totals["kills"] += len(history.kills)
                totals["grants"] += len(history.grants)
                totals["events"] += sum(f.heard for f in history.followers)
                totals["reconnects"] += sum(f.resumed for f in history.followers)
                totals["resyncs"] += sum(f.resynced for f in history.followers)
                totals.update(op.outcome for op in history.ops)
                totals["retried"] += sum(op.attempts > 1 for op in history.ops)
                totals["stale tokens"] += sum(op.fence is not None and op.outcome == "refused" for op in history.ops)
                if until in {finding[0] for finding in found}:
                    break
        finally:
            server.stop()
    return findings, totals


def run(first, count, program="zn-server", until=None, report=None, **options):
    """All runs' findings and totals; as many stores at a time as there are processors. `until`: a class to stop at."""
    findings, totals = [], collections.Counter()
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        stores = []
        for start in range(first, first + count, FRESH_STORE):
            seeds = range(start, min(start + FRESH_STORE, first + count))
            # Every other server forgets events so soon that who comes back often has to be resynced.
            stores.append(pool.submit(run_store, seeds, program, len(stores) % 2 == 1, until, options))
        for store in concurrent.futures.as_completed(stores):
            if store.cancelled():
                continue
            found, counted = store.result()
            findings += found
            totals.update(counted)
            if report:
                report(totals, found)
            if until in {finding[1] for finding in findings}:
                for other in stores:
                    other.cancel()
    return findings, totals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=1, help="seed of the first run")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--kills", type=int, default=0, help="of the server, in each run")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8, help="of each client")
    parser.add_argument("--program", default="zn-server")
    arguments = parser.parse_args()
    begin = time.monotonic()

    def report(totals, found):
        for finding in found[:5]:
            print(": ".join(finding)[:600], flush=True)
        print(f"{totals['runs']} runs, {time.monotonic() - begin:.0f} s: {dict(totals)}", flush=True)

    findings, totals = run(arguments.first, arguments.count, arguments.program, report=report, clients=arguments.clients,
                           steps=arguments.steps, kills=arguments.kills)
    print(f"{len(findings)} findings in {time.monotonic() - begin:.0f} s: {dict(totals)}")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()

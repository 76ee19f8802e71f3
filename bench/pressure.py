#!/usr/bin/python3
"""(f) Random frames of a store 8 times the memory allowed (a cgroup): the engine and LMDB in C, each in a process of its own
under the same limit, in turn, from a cold page cache."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import common as c


def cgroup(limit):
    """A new group below this process's, with a limit of memory; (its folder, how to join it), or None."""
    for line in open("/proc/self/cgroup"):
        _, controllers, path = line.strip().split(":", 2)
        if controllers == "memory":
            base, name = Path("/sys/fs/cgroup/memory" + path), "memory.limit_in_bytes"
        elif controllers == "" and os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            base, name = Path("/sys/fs/cgroup" + path), "memory.max"
        else:
            continue
        group = base / f"zn-bench-{os.getpid()}"
        try:
            group.mkdir()
            (group / name).write_text(str(limit))
            return group
        except OSError:
            if group.exists():
                group.rmdir()
    return None


def main():
    folder = c.scratch("pressure")
    atoms = 200
    total = (1 << 30) if c.QUICK else (4 << 30)
    frames = total // (atoms * 12)
    c.run([c.BIN / "zn-bench-pressure", "make", folder, frames, atoms])
    limit = total // 8
    group = cgroup(limit)
    if not group:
        sys.exit("pressure.py: no memory cgroup can be made here: not measured")
    seconds = 5 if c.QUICK else 10
    c.header(f"Random frames of {total >> 30} GiB within {limit >> 20} MiB of memory", "atoms", "engine /s", "LMDB /s", "ratio")
    try:
        def measure(what):
            c.drop_page_cache()
            join = lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
            done = subprocess.run([c.BIN / "zn-bench-pressure", "read", folder, what, str(seconds)], stdout=subprocess.PIPE,
                                  text=True, preexec_fn=join, check=True)
            return json.loads(done.stdout)["rate"]
        ours, theirs = c.in_turn(lambda: measure("engine"), lambda: measure("lmdb"), rounds=min(3, c.ROUNDS))
        c.row(atoms, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}")
    finally:
        group.rmdir()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

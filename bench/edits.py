#!/usr/bin/python3
"""(f) What changing costs at 1e3, 1e5 and 1e7 frames, fresh and after 1e6 random edits (or as many as fit into a minute and a half): edits.cc, which has its own peer, a
loop of fdatasync in the same folder."""
import json
import shutil
import subprocess
import sys

import common as c


def main():
    c.header("Changes of a room", "frames", "state", "one sync µs", "fork µs", "insert at front µs", "append µs",
             "edits/s, 1 writer", "edits/s, 64 writers", "× syncs/s", "p99.9 of 64 ms", "bytes an edit, 1 writer",
             "bytes an edit, 64", "open clean ms", "open after crash ms")
    for frames in (1000, 100000) if c.QUICK else (1000, 100000, 10000000):
        folder = c.scratch("edits")
        done = subprocess.run([c.BIN / "zn-bench-edits", "--dir", folder, "--frames", str(frames), "--edits",
                               "20000" if c.QUICK else "1000000", "--seconds", "1" if c.QUICK else "3",
                               "--edit-seconds", "90"],
                              stdout=subprocess.PIPE, text=True)
        for line in done.stdout.splitlines():
            r = json.loads(line)
            c.row(f"{frames:,}", r["state"], f"{r['sync_us']:.0f}", f"{r['fork_us']:.0f}", f"{r['insert_us']:.0f}",
                  f"{r['append_us']:.0f}", f"{r['edits_1']:,.0f}", f"{r['edits_64']:,.0f}", f"{r['edits_64'] / r['syncs']:.1f}",
                  f"{r['p999_64_us'] / 1e3:.1f}", f"{r['bytes_1']:.0f}", f"{r['bytes_64']:.0f}", f"{r['open_clean_ms']:.1f}",
                  f"{r['open_crash_ms']:.1f}")
        if done.returncode:
            sys.exit(f"zn-bench-edits ended with {done.returncode}")
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""(k) Exports against `cp -r` of what they made, durable at the end: a room of float32 positions as every format."""
import shutil
import time

import common as c

FORMATS = (("zarr", "out.zarr", []), ("zarr, v2", "out2.zarr", ["--zarr", "2"]),
           ("zarr-sharded", "out.sharded.zarr", []), ("zarr-zip", "out.zarr.zip", []),
           ("kerchunk", "out.kerchunk.json", []), ("npy", "out-npy", ["--format", "npy"]), ("npz", "out.npz", []),
           ("h5md, --level 0", "out0.h5md", ["--level", "0"]), ("h5md", "out.h5md", ["--level", "1"]),
           ("extxyz", "out.xyz", []), ("extxyz.gz", "out.xyz.gz", ["--level", "1"]))


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy(path, target):
    begin = time.monotonic()
    c.run(["cp", "-r", "--reflink=never", path, target])
    c.run(["sync", "-f", target])
    seconds = time.monotonic() - begin
    remove(target)
    return seconds


def main():
    folder = c.scratch("export")
    frames = 2_000 if c.QUICK else 20_000
    source = c.h5md(folder / "in.h5", frames, 3_000)
    store = folder / "store"
    c.import_file(store, "r", source)
    source.unlink()
    print(f"# Export against cp -r of the result\n\n{c.machine()}; {frames} frames of 3,000 atoms, float32.\n")
    print("| format | bytes | export | cp -r + sync | export's share of cp's speed |\n|---|---|---|---|---|")
    for name, out, options in FORMATS:
        out = folder / out
        rows = []
        for _ in range(c.ROUNDS):
            exported = c.timed([c.BIN / "zn-export", "--store", store, "--room", "r", out, *options])
            size = sum(p.stat().st_size for p in out.rglob("*")) if out.is_dir() else out.stat().st_size
            rows.append((exported, copy(out, folder / "copy")))
            remove(out)
        export, copied = (sorted(times)[len(times) // 2] for times in zip(*rows))
        print(f"| {name} | {size / 1e6:.0f} MB | {export:.2f} s | {copied:.2f} s | {copied / export:.2f} |", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

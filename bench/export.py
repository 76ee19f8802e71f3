#!/usr/bin/python3
"""(k) Exports against `cp -r` of what they made, durable at the end: a room of float32 positions as every format."""
import shutil
import time

import common as c

# Name, target, options, and one of how many frames (text and gzip take long). The last ones take chunks of zn.rounded, which are
# encoded anew.
FORMATS = (("zarr", "plain", "out.zarr", [], 1), ("zarr, v2", "plain", "out2.zarr", ["--zarr", "2"], 1),
           ("zarr-sharded", "plain", "out.sharded.zarr", [], 1), ("zarr-zip", "plain", "out.zarr.zip", [], 1),
           ("kerchunk", "plain", "out.kerchunk.json", [], 1), ("npy", "plain", "out-npy", ["--format", "npy"], 1),
           ("npz", "plain", "out.npz", [], 1), ("h5md, --level 0", "plain", "out0.h5md", ["--level", "0"], 1),
           ("h5md, --level 1", "plain", "out.h5md", ["--level", "1"], 4), ("extxyz", "plain", "out.xyz", [], 16),
           ("extxyz.gz", "plain", "out.xyz.gz", ["--level", "1"], 32), ("zarr from zn.rounded", "rounded", "outr.zarr", [], 1),
           ("npy from zn.rounded", "rounded", "outr-npy", ["--format", "npy"], 1))


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
    frames, atoms = 2_000 if c.QUICK else 20_000, 3_000
    source = c.h5md(folder / "in.h5", frames, atoms)
    store = folder / "store"
    c.import_file(store, "plain", source, "--codec", "default")
    c.import_file(store, "rounded", source)
    source.unlink()
    c.header(f"Export of a room of {atoms} atoms, float32, against cp -r of the result", "format", "frames", "MB", "zn-export s",
             "cp -r + sync s", "export's share of cp's speed")
    for name, room, out, options, share in FORMATS:
        out = folder / out
        size = [0]

        def export():
            c.sync()
            seconds = c.timed([c.BIN / "zn-export", "--store", store, "--room", room, out, "--stop", frames // share, *options])
            size[0] = sum(p.stat().st_size for p in out.rglob("*")) if out.is_dir() else out.stat().st_size
            return seconds

        def copied():
            seconds = copy(out, folder / "copy")
            remove(out)
            return seconds
        exported, cp = c.in_turn(export, copied)
        c.row(name, f"{frames // share:,}", f"{size[0] / 1e6:,.0f}", f"{exported:.2f}", f"{cp:.2f}", f"{cp / exported:.2f}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Bulk ingest from Zarr, durable at the end: a folder of 2 GB of float32 positions, in chunks that are stored as they are (blosc lz4,
and none) and in chunks that must be encoded anew (zlib); against cp -r + sync of the same folder."""
import shutil
import time

import numcodecs
import numpy as np
import zarr

import common as c


def make(path, frames, atoms, compressor):
    """A random walk: positions as a simulation's, which compress by a sixth."""
    root = zarr.open_group(str(path), mode="w")
    rows = max(1, (768 << 10) // (atoms * 12))
    out = root.create_dataset("positions", shape=(frames, atoms, 3), chunks=(rows, atoms, 3), dtype="f4", compressor=compressor)
    rng = np.random.default_rng(1)
    at = rng.uniform(0, 50, (atoms, 3)).astype("f4")
    step = 64 * rows
    # Drawn once and taken in another order each time: drawing it anew would take a minute.
    kicks = rng.normal(0, 0.05, (step, atoms, 3)).astype("f4")
    for begin in range(0, frames, step):
        n = min(step, frames - begin)
        walk = at + np.cumsum(kicks[rng.permutation(step)[:n]], axis=0, dtype="f4")
        out[begin:begin + n] = walk
        at = walk[-1]
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def copy(path, target):
    begin = time.monotonic()
    c.run(["cp", "-r", "--reflink=never", path, target])
    c.run(["sync", "-f", target])
    seconds = time.monotonic() - begin
    shutil.rmtree(target)
    return seconds


def zn(path, folder):
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    c.sync()
    return c.import_file(store, "r", path)


def main():
    folder = c.scratch("zarr_import")
    frames, atoms = int(55000 * (0.1 if c.QUICK else 1)), 3000
    c.header("Ingest from Zarr", "chunks", "MB", "zn-import s", "MB/s", "cp -r + sync s", "times as fast as cp -r")
    for name, compressor in (("blosc lz4, stored as they are", numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE)),
                             ("uncompressed, stored as they are", None), ("zlib 1, encoded anew", numcodecs.Zlib(1))):
        if "zlib" in name and not c.QUICK:
            size = make(folder / "in.zarr", frames // 4, atoms, compressor)
        else:
            size = make(folder / "in.zarr", frames, atoms, compressor)
        ours, cp = c.in_turn(lambda: zn(folder / "in.zarr", folder), lambda: copy(folder / "in.zarr", folder / "copy"),
                             rounds=2 if c.QUICK else 3)
        c.row(name, f"{size / 1e6:,.0f}", f"{ours:.2f}", f"{size / 1e6 / ours:,.0f}", f"{cp:.2f}", f"{cp / ours:.2f}")
        shutil.rmtree(folder / "in.zarr")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

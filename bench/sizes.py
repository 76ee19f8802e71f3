#!/usr/bin/python3
"""(g) Bytes on disk of the same trajectory: the store (default and zstd codecs), raw values, HDF5 with gzip, LMDB with msgpack."""
import os
import shutil
from pathlib import Path

import h5py

import batches
import common as c


def used(path):
    """Bytes that the file system has given to a file or to all files below a folder, cache aside."""
    path = Path(path)
    if path.is_file():
        return path.stat().st_blocks * 512
    return sum(f.stat().st_blocks * 512 for f in path.rglob("*") if f.is_file() and "cache" not in f.relative_to(path).parts)


def main():
    folder = c.scratch("sizes")
    c.header("Bytes on disk", "trajectory", "raw MB", "store, by itself", "store, zstd 5", "HDF5 gzip 4", "LMDB msgpack")
    for name, frames, atoms in (("9 atoms", 100000, 9), ("200 atoms", 20000, 200), ("3,000 atoms", 2000, 3000)):
        if c.QUICK:
            frames //= 10
        plain = c.h5md(folder / "in.h5", frames, atoms)
        packed = c.h5md(folder / "in.gz.h5", frames, atoms, gzip=4)
        raw = frames * atoms * 12
        sizes = []
        for codec in (None, "blosc:zstd:5"):
            store = folder / "store"
            c.import_file(store, "r", plain, *(["--codec", codec] if codec else []))
            os.sync()
            sizes.append(used(store))
            shutil.rmtree(store)
        with h5py.File(plain) as f:
            batches.write_lmdb(folder / "lmdb", {"arrays.positions": f["particles/all/position/value"][()]})
        os.sync()
        sizes += [used(packed), used(folder / "lmdb")]
        shutil.rmtree(folder / "lmdb")
        c.row(f"{frames:,} × {name}", f"{raw / 1e6:,.1f}", *(f"{s / 1e6:,.1f} ({s / raw:.2f})" for s in sizes))


if __name__ == "__main__":
    main()

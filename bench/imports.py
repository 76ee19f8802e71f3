#!/usr/bin/python3
"""(a) Bulk ingest, durable at the end: a float32 H5MD file of 2 GB, contiguous and in gzip chunks, and an extended XYZ file of
500 MB; against cp + sync of the same file, ASE's reader, and h5py to zarr-python."""
import shutil
import time

import ase.io
import h5py
import numpy as np
import zarr

import common as c


def extxyz(path, size):
    """Frames of 50 to 200 atoms with forces and energies, as ASE writes them, until the file has `size` bytes."""
    rng = np.random.default_rng(1)
    symbols = np.array(["O ", "H ", "H ", "C ", "Si"])
    blocks = []
    for _ in range(400):  # distinct frames, then again: a file like a training set, made in reasonable time
        n = int(rng.integers(50, 201))
        values = rng.normal(0, 5, (n, 6))
        species = symbols[rng.integers(0, len(symbols), n)]
        lines = [f"{s}   " + " ".join(f"{x:16.8f}" for x in v) for s, v in zip(species, values)]
        blocks.append(f'{n}\nLattice="20.0 0.0 0.0 0.0 20.0 0.0 0.0 0.0 20.0" Properties=species:S:1:pos:R:3:forces:R:3 '
                      f'energy={rng.normal(-1e3, 10)} config_type=bench pbc="T T T"\n' + "\n".join(lines) + "\n")
    with open(path, "w") as out:
        written = number = 0
        while written < size:
            written += out.write(blocks[number % len(blocks)].replace("config_type=bench", f"config_type=bench number={number}"))
            number += 1
    return path, number


def copy(path, target):
    begin = time.monotonic()
    c.run(["cp", "--reflink=never", path, target])
    c.run(["sync", "-f", target])
    seconds = time.monotonic() - begin
    target.unlink()
    return seconds


def to_zarr(path, target):
    begin = time.monotonic()
    with h5py.File(path) as f:
        data = f["particles/all/position/value"]
        step = max(1, (64 << 20) // (data.dtype.itemsize * data.shape[1] * 3))
        out = zarr.open(str(target), mode="w", shape=data.shape, dtype=data.dtype,
                        chunks=(max(1, (1 << 20) // (data.shape[1] * 12)), data.shape[1], 3))
        for i in range(0, len(data), step):
            out[i:i + step] = data[i:i + step]
    c.sync()
    seconds = time.monotonic() - begin
    shutil.rmtree(target)
    return seconds


def zn(path, folder):
    store = folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    c.sync()
    return c.import_file(store, "r", path)


def main():
    folder = c.scratch("imports")
    scale = 0.1 if c.QUICK else 1
    rounds = 2 if c.QUICK else 3
    c.header("Bulk ingest", "file", "MB", "zn-import s", "MB/s", "peer", "peer s", "times as fast as the peer")
    frames, atoms = int(55000 * scale), 3000
    for name, gzip in (("H5MD contiguous", None), ("H5MD gzip 4, chunks of 1 MiB", 4)):
        path = c.h5md(folder / "in.h5", frames, atoms, gzip=gzip)
        size = path.stat().st_size / 1e6
        path.read_bytes()[:1] if size < 4000 else None  # into the page cache, for all alike
        ours, cp, other = c.in_turn(lambda: zn(path, folder), lambda: copy(path, folder / "copy"),
                                    lambda: to_zarr(path, folder / "zarr"), rounds=rounds)
        for peer, seconds in (("cp + sync", cp), ("h5py → zarr-python", other)):
            c.row(name, f"{size:,.0f}", f"{ours:.2f}", f"{size / ours:,.0f}", peer, f"{seconds:.2f}", f"{seconds / ours:.2f}")
        path.unlink()
    path, frames = extxyz(folder / "in.xyz", int(500e6 * scale))
    size = path.stat().st_size / 1e6
    ours, cp = c.in_turn(lambda: zn(path, folder), lambda: copy(path, folder / "copy"), rounds=rounds)
    # ASE takes minutes: it reads the first fiftieth, once, and its time is scaled by frames.
    part = max(20, frames // 50)
    begin = time.monotonic()
    images = ase.io.read(path, index=f":{part}", format="extxyz")
    ase_seconds = (time.monotonic() - begin) * frames / len(images)
    c.row("extxyz", f"{size:,.0f}", f"{ours:.2f}", f"{size / ours:,.0f}", "cp + sync", f"{cp:.2f}", f"{cp / ours:.2f}")
    c.row("extxyz", f"{size:,.0f}", f"{ours:.2f}", f"{size / ours:,.0f}", f"ASE (scaled from {part} frames)",
          f"{ase_seconds:.1f}", f"{ase_seconds / ours:.1f}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Rounded positions: what zn.rounded makes of them, beside plain blosc (the default of other values).

297 atoms of water, 100 frames (chemfiles_water.trr, positions at full precision, beside the checkout), rounded to 0.001 nm as an XTC file
does, to 0.01 Angstrom of it, to text with 8 decimals; and as they are. Without the sample: a random walk of as many atoms.
"""
import os
import struct
import tempfile
from pathlib import Path

import numpy as np

import common as c

SHARED = Path(os.environ.get("ZN_SHARED_DATA", c.SOURCE.parent / "shared/data"))
ATOMS = 297


def water():
    """(frames, atoms, 3) in nm. A TRR frame here: 84 bytes of header, 36 of box, big-endian float32 positions."""
    path = SHARED / "trr/chemfiles_water.trr"
    if not path.exists():
        random = np.random.default_rng(1)
        return random.uniform(0, 3, (ATOMS, 3)) + np.cumsum(random.normal(0, 0.02, (100, ATOMS, 3)), axis=0)
    data, frames, at = path.read_bytes(), [], 0
    while at < len(data):
        assert struct.unpack_from(">i", data, at)[0] == 1993
        frames.append(np.frombuffer(data, ">f4", ATOMS * 3, at + 120).reshape(ATOMS, 3))
        at += 120 + ATOMS * 12
    return np.array(frames, "f8")


def main():
    nm = np.concatenate([water()] * 6)  # enough chunks that they are not all in the first caches
    k = np.rint(nm * 1000).astype("i4")
    xtc = k * np.float32(0.001)
    sets = [("0.001 nm, float32, as XTC readers give it", "f32", xtc.astype("f4"), ATOMS),
            ("0.01 Å, float32 (10 × the former)", "f32", (xtc * np.float32(10)).astype("f4"), ATOMS),
            ("0.001 nm, float64, from text", "f64", k / 1000.0, ATOMS),
            ("8 decimals in Å, float64, from text", "f64", np.rint(nm * 1e9) / 1e8, ATOMS),
            ("0.001 nm, float32, 10 times the atoms", "f32", np.tile(xtc, (1, 10, 1)).astype("f4"), 10 * ATOMS),
            ("0.001 nm, float32, 9 atoms", "f32", xtc[:, :9].astype("f4").copy(), 9),
            ("not rounded, float32", "f32", nm.astype("f4"), ATOMS)]
    c.header("Rounded positions", "values", "frames a chunk", "codec", "ratio", "encode GB/s", "decode GB/s", "one row µs")
    with tempfile.TemporaryDirectory() as folder:
        for name, dtype, values, atoms in sets:
            path = Path(folder) / "values"
            values.tofile(path)
            row = values[0].nbytes
            frames = min(512, 1 << int(np.log2((768 << 10) / row)))
            for line in c.run([c.BIN / "zn-bench-rounded", path, dtype, atoms, frames]).splitlines():
                c.row(name, frames, *line.split())


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Writes an H5MD file of a given size with water-like positions, for the import benchmarks.

Molecules stand on a lattice and tremble as thermal motion does (each frame keeps most of the last one's displacement), and
coordinates are rounded to 0.001 Å as trajectory files store them: the bytes compress about as those of a simulation do. Frames
are made and written block by block, so the size is bounded by the disk, not by memory. A dataset is contiguous, or chunked and
compressed by gzip.

  make_h5md.py water.h5 --gigabytes 2
  make_h5md.py water_gzip.h5 --gigabytes 1 --layout gzip --chunk-frames 16
"""
import argparse
import sys
import time

import h5py
import numpy as np

LATTICE = 3.1  # Å between molecules: about the density of water
GEOMETRY = np.array([[0, 0, 0], [0.757, 0.586, 0], [-0.757, 0.586, 0]])
MEMORY, KICK = 0.95, 0.08  # of the displacement, from one frame to the next; Å


def sites(atoms):
    molecules = -(-atoms // 3)
    side = int(np.ceil(molecules ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)[:molecules]
    positions = (grid[:, None, :] * LATTICE + GEOMETRY[None]).reshape(-1, 3)[:atoms]
    return positions.astype(np.float32), side * LATTICE


class Motion:
    """Displacements of an Ornstein-Uhlenbeck walk. Noise is drawn once and used again at random shifts: drawing it anew for
    10 GB would take minutes."""

    def __init__(self, atoms, seed):
        self.random = np.random.default_rng(seed)
        self.noise = self.random.normal(0, KICK, 1 << 22).astype(np.float32)
        self.now = np.zeros(atoms * 3, np.float32)

    def step(self):
        at = int(self.random.integers(self.noise.size))
        size = self.now.size
        kick = np.take(self.noise, np.arange(at, at + size), mode="wrap")
        self.now *= MEMORY
        self.now += kick
        return self.now


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--gigabytes", type=float, help="of positions, uncompressed (1e9 bytes)")
    size.add_argument("--frames", type=int)
    parser.add_argument("--atoms", type=int, default=3000)
    parser.add_argument("--layout", choices=["contiguous", "chunked", "gzip"], default="contiguous")
    parser.add_argument("--chunk-frames", type=int, default=0, help="default: as many as make 1 MiB")
    parser.add_argument("--level", type=int, default=4, help="of gzip, with shuffle")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    frame_bytes = options.atoms * 12
    frames = options.frames or max(1, round(options.gigabytes * 1e9 / frame_bytes))
    reference, side = sites(options.atoms)
    layout = {}
    if options.layout != "contiguous":
        rows = options.chunk_frames or max(1, (1 << 20) // frame_bytes)
        layout["chunks"] = (min(rows, frames), options.atoms, 3)
    if options.layout == "gzip":
        layout.update(compression="gzip", compression_opts=options.level, shuffle=True)

    began = time.time()
    with h5py.File(options.out, "w", libver="v108") as file:
        h5md = file.create_group("h5md")
        h5md.attrs["version"] = np.array([1, 1])
        h5md.create_group("author").attrs["name"] = "N/A"
        creator = h5md.create_group("creator")
        creator.attrs["name"], creator.attrs["version"] = "make_h5md.py", "1"
        group = file.create_group("particles/all")
        box = group.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = np.array([b"periodic"] * 3)
        edges = box.create_dataset("edges", data=np.eye(3, dtype=np.float32) * np.float32(side))
        edges.attrs["unit"] = "Angstrom"
        numbers = np.tile([8, 1, 1], -(-options.atoms // 3))[: options.atoms].astype(np.int32)
        group.create_dataset("species", data=numbers)
        position = group.create_group("position")
        step = position.create_dataset("step", data=np.int64(100))
        moment = position.create_dataset("time", data=np.float64(50.0))
        step.attrs["offset"], moment.attrs["offset"], moment.attrs["unit"] = 0, 0.0, "fs"
        value = position.create_dataset("value", (frames, options.atoms, 3), np.float32, **layout)
        value.attrs["unit"] = "Angstrom"

        motion = Motion(options.atoms, options.seed)
        block = max(1, (32 << 20) // frame_bytes)
        if "chunks" in layout:
            block = max(1, block // layout["chunks"][0]) * layout["chunks"][0]
        buffer = np.empty((block, options.atoms, 3), np.float32)
        for first in range(0, frames, block):
            count = min(block, frames - first)
            for i in range(count):
                buffer[i] = reference + motion.step().reshape(-1, 3)
            part = buffer[:count]
            np.multiply(part, 1000, out=part)
            np.rint(part, out=part)
            np.divide(part, 1000, out=part)
            value[first : first + count] = part
    print(
        f"{options.out}: {frames} frames of {options.atoms} atoms, {frames * frame_bytes / 1e9:.3f} GB of positions, "
        f"{options.layout}, {time.time() - began:.1f} s",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()

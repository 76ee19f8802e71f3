#!/usr/bin/python3
"""Files far larger than memory stream: zn-import's resident memory stays within a bound that does not depend on the file's
size. A user who loses this cannot import the trajectory that made a store necessary.

A 10 GB H5MD file that is mostly hole stands in for a real one (every byte is read and encoded all the same), and a
gzip-compressed extended XYZ file that inflates to 2 GB.
"""
import gzip
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

from support import zn

BOUND = 384 << 20  # bytes of anonymous memory: what BulkAppender keeps in flight (256 MiB at most), and the rest


def import_measured(store, path):
    """(exit code, output, most bytes of anonymous memory at any time): mapped files are the page cache's."""
    child = subprocess.Popen([str(zn.BIN / "zn-import"), str(path), "--store", str(store), "--room", "r"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    most = 0
    while True:
        try:
            child.wait(0.05)
            break
        except subprocess.TimeoutExpired:
            try:
                status = Path(f"/proc/{child.pid}/status").read_text()
                anonymous = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
                most = max(most, anonymous * 1024)
            except (OSError, StopIteration):
                pass
    with child.stdout:
        return child.returncode, child.stdout.read(), most


class Memory(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="zn-memory-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def check(self, path, frames):
        code, output, most = import_measured(self.folder / "store", path)
        self.assertEqual(code, 0, output[-500:])
        self.assertGreater(most, 0)
        self.assertLess(most, BOUND, f"{most >> 20} MiB resident")
        with zn.Server(self.folder / "store") as server:
            self.assertEqual(server.room("r").json()["frameCount"], frames)
        print(f"{path.name}: {most >> 20} MiB of anonymous memory")

    def test_h5md_of_10_gb(self):
        if shutil.disk_usage(self.folder).free < 3 << 30:
            self.skipTest("needs 3 GB of disk")
        frames, atoms = 280000, 3000
        path = self.folder / "large.h5"
        with h5py.File(path, "w") as f:
            f.create_group("h5md").attrs["version"] = np.array([1, 1], "i4")
            f["h5md"].create_group("creator").attrs.update(name="test", version="1")
            particles = f.create_group("particles/all")
            box = particles.create_group("box")
            box.attrs["dimension"], box.attrs["boundary"] = np.int32(3), np.array([b"none"] * 3)
            particles.create_dataset("species", data=np.full(atoms, 8, "i4"))
            position = particles.create_group("position")
            # Contiguous and never written: the file system keeps a hole of 10 GB.
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            layout.set_layout(h5py.h5d.CONTIGUOUS)
            layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            h5py.h5d.create(position.id, b"value", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((frames, atoms, 3)), layout)
            position["value"][frames - 1] = 7
            position.create_dataset("step", data=np.int32(1))
        self.assertGreater(path.stat().st_size, 10 * 10**9)
        self.check(path, frames)

    def test_extxyz_of_2_gb_in_gzip(self):
        rng = np.random.default_rng(1)
        frame = "200\nProperties=species:S:1:pos:R:3 energy=%d\n" + "".join(
            "C %.8f %.8f %.8f\n" % tuple(p) for p in rng.normal(0, 9, (200, 3)))
        frames = int(2e9 / len(frame))
        path = self.folder / "large.xyz.gz"
        with gzip.open(path, "wt", compresslevel=1) as out:
            for k in range(0, frames, 1000):
                out.write("".join(frame % i for i in range(k, min(frames, k + 1000))))
        self.check(path, frames)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""The cache is NPY files that NumPy maps, while the server reads through them, evicts them, and while somebody deletes them. A user who
loses this cannot look at decoded data from elsewhere, or finds a disk filled by a cache that was to be small."""
import os
import shutil
import threading
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

from support import zn

FRAMES, ATOMS = (600, 700) if os.environ.get("ZN_SANITIZE") else (4000, 1000)
MIB = 1 << 20
BOUND_MIB = 4 if os.environ.get("ZN_SANITIZE") else 16
MAPS = 12
CHUNK = MIB  # a raw chunk is at most this
READERS = 4
SECONDS = 6


def write_h5md(path, positions):
    with h5py.File(path, "w") as f:
        f.create_group("h5md").attrs["version"] = np.array([1, 1], "i4")
        f["h5md"].create_group("creator").attrs.update(name="test", version="1")
        particles = f.create_group("particles/all")
        box = particles.create_group("box")
        box.attrs["dimension"], box.attrs["boundary"] = np.int32(3), np.array([b"none"] * 3)
        particles.create_dataset("species", data=np.full(positions.shape[1], 8, "i4"))
        position = particles.create_group("position")
        position.create_dataset("value", data=positions)
        position.create_dataset("step", data=np.int32(1))


class Cache(zn.StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.positions = np.random.default_rng(1).normal(0, 10, (FRAMES, ATOMS, 3)).astype("f4")
        cls.frame_of_row = {row.tobytes(): k for k, row in enumerate(cls.positions)}
        path = Path(cls.folder.name) / "r.h5"
        write_h5md(path, cls.positions)
        code, output = zn.import_file(cls.store, "r", path)
        assert code == 0, output

    def files(self):
        """Every file of the cache that has a name for good."""
        return [path for path in (self.store / "cache").glob("*/*") if path.suffix == ".npy"]

    def check_file(self, path):
        """Is this a chunk of positions, whole? Evicted in between: no answer."""
        try:
            array = np.load(path, mmap_mode="r")
        except FileNotFoundError:
            return False
        if array.dtype != np.float32 or array.ndim != 3 or array.shape[1:] != (ATOMS, 3):
            raise AssertionError(f"{path.name}: {array.dtype} {array.shape}")
        frame = self.frame_of_row.get(array[0].tobytes())
        if frame is None or not np.array_equal(array, self.positions[frame:frame + len(array)]):
            raise AssertionError(f"{path.name} holds no chunk of the room's positions")
        return True

    def disk_bytes(self):
        total = 0
        for path in (self.store / "cache").glob("*/*"):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                pass
        return total

    @staticmethod
    def maps_of(pid):
        return sum("/cache/" in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())

    def load(self, server, seconds, between):
        """Readers of random frames, and of a few hot ones, compare every reply; `between` runs all the while. The number of replies."""
        wrong, replies, end = [], [0], time.monotonic() + seconds

        def read(number):
            random, client = np.random.default_rng(number), zn.Client(server.port)
            try:
                while time.monotonic() < end and not wrong:
                    begin = int(random.integers(FRAMES - 4))
                    for frame in (begin, begin + 1, begin, int(random.integers(8))):
                        reply = client.get(f"/api/rooms/r/frames/{frame}?data=positions")
                        if reply.status != 200 or not np.array_equal(reply.frame()["arrays.positions"], self.positions[frame]):
                            wrong.append((frame, reply.status, reply.body[:100]))
                        replies[0] += 1
            except Exception as error:  # noqa: BLE001: a thread's end must reach the test
                wrong.append(repr(error))
            finally:
                client.close()

        threads = [threading.Thread(target=read, args=(n,)) for n in range(READERS)]
        for thread in threads:
            thread.start()
        try:
            while time.monotonic() < end and not wrong:
                between()
        finally:
            for thread in threads:
                thread.join()
        self.assertEqual(wrong[:3], [])
        return replies[0]

    def test_files_are_npy_and_bounded_under_load(self):
        with zn.Server(self.store, "--cache-gib", BOUND_MIB / 1024, "--cache-maps", MAPS) as server:
            checked, most_bytes, most_maps = [0], [0], [0]

            def between():
                most_bytes[0] = max(most_bytes[0], self.disk_bytes())
                most_maps[0] = max(most_maps[0], self.maps_of(server.process.pid))
                for path in self.files():
                    checked[0] += self.check_file(path)

            replies = self.load(server, SECONDS, between)
            self.assertGreater(replies, 50)
            self.assertGreater(checked[0], 5, "the load made no files: nothing was shown")
            # Each thread may be making one file more, and a reply may hold a map that was let go.
            self.assertLessEqual(most_bytes[0], BOUND_MIB * MIB + READERS * CHUNK)
            self.assertLessEqual(most_maps[0], MAPS + 2 * READERS)
            print(f"{replies} replies, {checked[0]} files opened, at most {most_bytes[0] / MIB:.1f} MiB and {most_maps[0]} maps")
            self.assertEqual(server.stop(), 0)

    def test_deleting_it_while_the_server_runs(self):
        # Smaller than the room, so that chunks come and go.
        with zn.Server(self.store, "--cache-gib", BOUND_MIB / 1024, "--cache-maps", MAPS) as server:
            deleted, again = [0], [0]

            def between():
                time.sleep(0.3)
                again[0] += deleted[0] > 0 and bool(self.files())
                for folder in (self.store / "cache").iterdir():
                    shutil.rmtree(folder, ignore_errors=True)  # the server may be making a file in it
                deleted[0] += 1

            replies = self.load(server, SECONDS, between)
            self.assertGreater(replies, 50)
            self.assertGreater(deleted[0], 3)
            self.assertGreater(again[0], 0, "no file was made again after a deletion")
            shutil.rmtree(self.store / "cache")  # the whole of it
            self.load(server, 1, lambda: time.sleep(0.1))
            self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()

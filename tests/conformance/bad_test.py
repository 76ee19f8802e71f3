#!/usr/bin/python3
"""Damaged and hostile files: each is refused with a message that names the file and the place, within 60 s and 2 GiB of
address space, and the store stays as it was. A user who loses this loses a store to one bad upload."""
import os
import re
import shutil
import unittest

from support import zn

# Sanitizers reserve terabytes of address space; the bound is tested without them.
LIMIT = dict(limit=None if os.environ.get("ZN_SANITIZE") else 2 << 30, seconds=60)
# What a message must point at besides the file: a frame, a line, an object or a byte.
PLACE = re.compile(r"frame \d|line \d|byte|offset|particles|h5md|position|empty|no data|HDF5|truncated|format", re.I)


def files():
    return [(name, want) for name, want in sorted(zn.expected_files().items())
            if name.startswith("bad/") and name.endswith((".xyz", ".xyz.gz", ".h5", ".h5md"))]


@zn.needs_shared
class Bad(zn.StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, output = zn.import_file(cls.store, "kept", zn.DATA / "strained_crystal.xyz")
        assert code == 0, output

    def state(self):
        with zn.Server(self.store) as server:
            frames = server.room("kept", "/frames").body
            return server.digest(), frames

    def refused(self, path, room, before):
        code, output = zn.import_file(self.store, room, path, **LIMIT)
        self.assertGreater(code, 0, f"accepted, or ended by a signal: {code} {output[-300:]}")
        self.assertNotIn(code, (124, 134, 139), output[-300:])
        self.assertIn(path.name, output, "the message does not name the file")
        self.assertRegex(output, PLACE)
        self.assertEqual(self.state(), before, "the store changed")

    def test_each_is_refused_and_the_store_stays_as_it_was(self):
        before = self.state()
        count = 0
        for name, want in files():
            if want["expect"] == "error":
                with self.subTest(file=name):
                    count += 1
                    self.refused(zn.SHARED / name, "hostile", before)
        self.assertGreaterEqual(count, 17)

    def test_each_is_refused_by_an_existing_room(self):
        before = self.state()
        for name, want in files():
            if want["expect"] == "error":
                with self.subTest(file=name):
                    self.refused(zn.SHARED / name, "kept", before)

    def test_a_bad_file_among_good_ones_leaves_nothing(self):
        before = self.state()
        code, output = zn.import_file(self.store, "mixed", zn.DATA / "molecules.xyz", zn.SHARED / "bad/xyz_bad_natoms.xyz",
                                      **LIMIT)
        self.assertGreater(code, 0)
        self.assertIn("xyz_bad_natoms.xyz", output)
        self.assertEqual(self.state(), before)

    def test_whole_frames_before_the_damage_do_not_make_an_import(self):
        # Three frames of this file are whole; --stop reads no further than them.
        path = zn.SHARED / "bad/xyz_truncated_midframe.xyz"
        code, output = zn.import_file(self.store, "first-three", path, options=["--stop", "3"], **LIMIT)
        if code == 0:
            with zn.Server(self.store) as server:
                self.assertEqual(server.room("first-three").json()["frameCount"], 3)
        else:
            self.assertIn("frame 3", output)

    def test_warnings_are_given(self):
        for name, frames in (("h5md_decreasing_step.h5", 5), ("h5md_length_mismatch.h5", 8), ("h5md_link_cycle.h5", 2)):
            with self.subTest(file=name):
                folder = self.store.parent / "warned"
                shutil.rmtree(folder, ignore_errors=True)
                code, output = zn.import_file(folder, "r", zn.SHARED / "bad" / name, **LIMIT)
                self.assertNotIn(code, (124, 134, 139), output)
                self.assertGreaterEqual(code, 0, "ended by a signal")
                if name == "h5md_link_cycle.h5":
                    self.assertEqual(code, 0, output)
                if code == 0:
                    if name != "h5md_link_cycle.h5":
                        self.assertIn("warning", output.lower())
                    with zn.Server(folder) as server:
                        self.assertEqual(server.room("r").json()["frameCount"], frames)

    def test_the_missing_h5md_group_is_read_with_force(self):
        folder = self.store.parent / "forced"
        path = zn.SHARED / "bad/zarrtraj_missing_h5md_group.h5md"
        code, output = zn.import_file(folder, "r", path, options=["--force"], **LIMIT)
        self.assertEqual(code, 0, output)
        self.assertIn("warning", output.lower())
        with zn.Server(folder) as server:
            self.assertEqual(server.room("r").json()["frameCount"], 5)

    def test_no_file_is_no_room(self):
        code, output = zn.import_file(self.store, "none", self.store / "missing.xyz")
        self.assertGreater(code, 0)
        self.assertIn("missing.xyz", output)


if __name__ == "__main__":
    unittest.main()

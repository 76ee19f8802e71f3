#!/usr/bin/python3
"""Rooms read as Zarr by other people's readers: zarr-python 2.13 and xarray through fsspec, zarrita for v2, v3 and shards.

Every field of every readable sample, as imported and after inserts, edits, moves and deletes, at the head and at old
commits, must hold the values that the frames API serves (which samples_test.py holds against the files). A user who loses
this has data that only our own programs read.
"""
import json
import math
import os
import subprocess
import tempfile
import unittest
import warnings
from pathlib import Path
from urllib.parse import quote

import ase.io
import fsspec
import h5py
import numpy as np
import xarray
import zarr

from samples_test import from_json
from support import zn

NODE = Path(__file__).resolve().parent / "node"
PRESENT, LENGTHS = ".__present__", ".__lengths__"
# Some commits of every room are read by zarr-python; zarrita, which starts once for all, reads the same.
needs_node = unittest.skipUnless((NODE / "node_modules/zarrita").exists(),
                                 f"zarrita is not installed (tools/deps test): its tests are skipped")


def files():
    for name, want in sorted(zn.expected_files().items()):
        folder = name.split("/")[0]
        if folder in ("h5md", "extxyz") or name.startswith("hdf5/asebytes_ragged"):
            groups = list(want["groups"]) if isinstance(want.get("groups"), dict) else []
            for group in groups if len(groups) > 1 else [None]:
                yield name, group


def node_name(field):
    """The Zarr name of a field, as docs/protocol.md says: other bytes than A-Za-z0-9._- are ~XX."""
    return "".join(chr(b) if chr(b).isalnum() and b < 128 or chr(b) in "._-" else f"~{b:02X}" for b in field.encode())


def open_group(url, consolidated):
    if consolidated:
        return zarr.open_consolidated(fsspec.get_mapper(url), mode="r")
    return zarr.open(url, mode="r")


def read_with_zarrita(case, jobs, out):
    """Array name -> values of each of read_zarr.mjs's jobs; None for a data type that zarrita does not have."""
    jobs_path = Path(out) / "jobs.json"
    jobs_path.write_text(json.dumps(jobs))
    done = subprocess.run(["node", NODE / "read_zarr.mjs", jobs_path, out], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=600)
    case.assertEqual(done.returncode, 0, done.stdout[-2000:])
    for j, job in enumerate(jobs):
        arrays = {}
        for k, name in enumerate(job["arrays"]):
            described = json.loads((Path(out) / f"{j}.{k}.json").read_text())
            if "skipped" in described:
                case.assertRegex(described["skipped"], "complex")
                arrays[name] = None
                continue
            raw = (Path(out) / f"{j}.{k}.bin").read_bytes()
            if described["dtype"] in ("string", "v2:object"):
                arrays[name] = np.array(json.loads(raw), object)
            else:
                arrays[name] = np.frombuffer(raw, described["dtype"]).reshape(described["shape"])
        yield arrays


def write_rounded(path, frames=45, atoms=70):
    """A trajectory as one of XTC: positions are multiples of 0.001 nm, in the arithmetic of those who read XTC; velocities are not rounded."""
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, 3000, (atoms, 3)) + np.cumsum(rng.integers(-30, 31, (frames, atoms, 3)), axis=0)
    positions = numbers.astype("f4") * np.float32(0.001)
    positions[3, 5] = (np.inf, -0.0, 0.0123456)
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = [1, 1]
        for name, values, unit in (("position", positions, "nm"),
                                   ("velocity", rng.normal(0, 1, positions.shape).astype("f4"), "nm ps-1")):
            element = file.create_group(f"particles/all/{name}")
            element["step"] = np.arange(frames)
            element["value"] = values
            element["value"].attrs["unit"] = unit
        file["particles/all/species"] = rng.integers(1, 9, atoms)
        box = file.create_group("particles/all/box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = np.array([b"none"] * 3)


def is_rounded(server, room, field="arrays.positions"):
    """Whether its chunks are in the one codec that is not Zarr's."""
    description = next(f for f in server.fields(room) if f["name"] == field)
    return any(codec["name"] == "zn.rounded" for grid in description["grids"] for codec in grid["codecs"])


def is_fill(values):
    if values.dtype.kind in "fc":
        return bool(np.isnan(values).all())
    return not values.any()


class ZarrView(zn.StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rooms = {}  # name -> [(what, commit)]
        sources = [(zn.SHARED / name, group) for name, group in files()]
        sources += [(path, None) for path in sorted(zn.DATA.glob("*.xyz")) + [zn.DATA / "slab.h5"]]
        rounded = Path(cls.folder.name) / "rounded.h5"
        write_rounded(rounded)
        # With chunks of 8 frames, and with all frames in one.
        sources += [(rounded, None), (rounded, None)]
        for number, (path, group) in enumerate(sources):
            room = f"r{number}-{path.stem[:40]}".replace(" ", "_") + (f"-{group}" if group else "")
            # Chunks of a few frames, so that many are whole and many are not.
            options = ["--chunk", "8"] if number % 2 else []
            code, output = zn.import_file(cls.store, room, path, options=options + (["--group", group] if group else []))
            if code != 0:
                raise AssertionError(f"{path}: {output[-400:]}")
            code, output = zn.run([zn.BIN / "zn-test-edit-room", cls.store, room])
            if code != 0:
                raise AssertionError(f"{path}: {output[-400:]}")
            cls.rooms[room] = [tuple(line.split()) for line in output.splitlines() if len(line.split()) == 2]
        cls.server = zn.Server(cls.store)
        cls.base = f"http://127.0.0.1:{cls.server.port}"

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def each(self, check):
        """Every room at its head, as imported, and at one commit between."""
        for number, (room, commits) in enumerate(self.rooms.items()):
            between = commits[1 + number % (len(commits) - 2)]
            for what, commit in (("head", None), commits[0], between):
                with self.subTest(room=room, what=what):
                    check(room, commit)

    def expected(self, room, commit):
        """field -> its rows by frame, None where it is absent; and n_atoms."""
        query = {"format": "columns"}
        if commit:
            query["at"] = commit
        columns = self.server.room(room, "/frames", **query).columns()
        return {field: columns.rows(field) for field in columns.fields}, columns

    def compare(self, arrays, room, commit):
        """`arrays`: node name -> values. Everything that the frames API has, padding and absence included."""
        rows, columns = self.expected(room, commit)
        descriptions = {f["name"]: f for f in self.server.room(room, "/fields", **({"at": commit} if commit else {})).json()}
        known = {"n_atoms"}
        np.testing.assert_array_equal(arrays["n_atoms"], columns.n_atoms)
        self.assertEqual(arrays["n_atoms"].dtype, np.dtype("<i4"))
        for field, values in rows.items():
            name = node_name(field)
            known |= {name, name + PRESENT, name + LENGTHS}
            self.assertIn(name, arrays)
            array = arrays[name]
            if array is None:  # the reader has no such data type
                continue
            present = [value is not None for value in values]
            if all(present):
                self.assertNotIn(name + PRESENT, arrays)
            else:
                self.assertEqual(arrays[name + PRESENT].tolist(), present, field)
            self.assertEqual(len(array), len(values), field)
            kind, dtype = descriptions[field]["kind"], descriptions[field]["dtype"]
            if dtype == "|O":
                for k, value in enumerate(values):
                    text = array[k]
                    self.assertEqual(from_json(json.loads(text)) if text else None, value, f"{field} of frame {k}")
                continue
            self.assertEqual(array.dtype, np.dtype(dtype), field)
            for k, value in enumerate(values):
                row = array[k]
                if value is None:
                    self.assertTrue(is_fill(row), f"{field} of frame {k} is absent")
                    if kind == "ragged":
                        self.assertEqual(arrays[name + LENGTHS][k], 0)
                    continue
                if kind == "ragged":
                    self.assertEqual(arrays[name + LENGTHS][k], len(value), f"{field} of frame {k}")
                if kind != "frame":
                    self.assertTrue(is_fill(row[len(value):]), f"padding of {field} of frame {k}")
                    row = row[:len(value)]
                self.assertEqual(row.shape, np.asarray(value).shape, f"{field} of frame {k}")
                self.assertEqual(np.asarray(row).tobytes(), np.asarray(value).tobytes(), f"{field} of frame {k}")
        self.assertEqual(set(arrays) - known, set())

    def url(self, room, commit, sharded=False):
        return f"{self.base}/{'zarr-sharded' if sharded else 'zarr'}/{room}" + (f"@{commit}" if commit else "")

    def test_rounded_values_are_among_them(self):
        """Chunks in a codec that Zarr readers do not have, which views give in one that they have."""
        rooms = [room for room in self.rooms if "-rounded" in room]
        self.assertEqual([is_rounded(self.server, room) for room in rooms], [True, True])
        self.assertFalse(is_rounded(self.server, rooms[0], "arrays.velocities"))
        for room in rooms:
            codecs = json.loads(self.server.get(f"/zarr/{room}/arrays.positions/zarr.json").body)["codecs"]
            self.assertEqual([codec["name"] for codec in codecs], ["bytes", "blosc"])

    def test_zarr_python_reads_every_room_consolidated(self):
        def check(room, commit):
            group = open_group(self.url(room, commit), True)
            self.compare({name: array[...] for name, array in group.arrays()}, room, commit)
        self.each(check)

    def test_zarr_python_reads_without_consolidated_metadata(self):
        def check(room, commit):
            if commit is None:
                group = open_group(self.url(room, None), False)
                self.compare({name: array[...] for name, array in group.arrays()}, room, None)
        self.each(check)

    def test_single_frames_and_slices(self):
        for room in self.rooms:
            with self.subTest(room=room):
                group = open_group(self.url(room, None), True)
                positions = group["arrays.positions"]
                whole = positions[...]
                for k in {0, len(whole) // 2, len(whole) - 1}:
                    np.testing.assert_array_equal(positions[k], whole[k])
                np.testing.assert_array_equal(positions[1:4, :2], whole[1:4, :2])

    def test_own_samples_equal_ase(self):
        for room, commits in self.rooms.items():
            path = next((p for p in zn.DATA.glob("*.xyz") if room.endswith(p.stem)), None)
            if path is None or not room.split("-")[0][1:].isdigit():
                continue
            group = open_group(self.url(room, commits[0][1]), True)
            for k, atoms in enumerate(ase.io.read(path, index=":")):
                np.testing.assert_array_equal(group["arrays.positions"][k][:len(atoms)], atoms.positions)
                np.testing.assert_array_equal(group["arrays.numbers"][k][:len(atoms)], atoms.numbers)

    def test_xarray_opens_every_room(self):
        def check(room, commit):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset = xarray.open_zarr(fsspec.get_mapper(self.url(room, commit)), consolidated=True)
            group = open_group(self.url(room, commit), True)
            self.assertEqual(dataset["arrays.positions"].dims[:2], ("frame", "atom"))
            self.assertEqual(set(dataset.variables), set(name for name, _ in group.arrays()))
            for name in ("arrays.positions", "n_atoms", "arrays.numbers", "pbc"):
                if name not in dataset:
                    continue
                values = dataset[name].values
                # No conversion: fill values are of floats only.
                self.assertEqual(values.dtype, group[name].dtype, name)
                np.testing.assert_array_equal(values, group[name][...])
        self.each(check)

    def test_units_aliases_and_dimensions(self):
        room = next(iter(self.rooms))
        group = open_group(self.url(room, None), True)
        attributes = group["arrays.positions"].attrs
        self.assertEqual(attributes["unit"], "Å")
        self.assertIn("positions", attributes["aliases"])
        self.assertEqual(attributes["_ARRAY_DIMENSIONS"], ["frame", "atom", "dim3"])
        self.assertEqual(group.attrs["znstore"]["commit"], self.server.room(room).json()["commit"])

    def test_the_root_lists_the_rooms(self):
        root = zarr.open(self.base + "/zarr", mode="r")
        self.assertEqual(sorted(root.attrs["rooms"]), sorted(self.rooms))
        room = next(iter(self.rooms))
        np.testing.assert_array_equal(root[room]["n_atoms"][...], root[f"{room}/n_atoms"][...])
        self.assertEqual(sorted(name for name, _ in root.groups()), sorted(self.rooms))
        v3 = self.server.get("/zarr/zarr.json").json()
        self.assertEqual((v3["node_type"], sorted(v3["attributes"]["rooms"])), ("group", sorted(self.rooms)))

    @needs_node
    def test_zarrita_reads_v2_v3_and_shards(self):
        jobs, wanted = [], []
        for number, (room, commits) in enumerate(self.rooms.items()):
            between = commits[1 + (number + 2) % (len(commits) - 2)][1]
            for commit in (None, commits[0][1], between):
                for format_, sharded in (("v2", False), ("v3", False), ("v3", True)):
                    metadata = json.loads(self.server.get(self.url(room, commit, sharded)[len(self.base):] + "/zarr.json").body)
                    jobs.append({"url": self.url(room, commit, sharded), "format": format_,
                                 "arrays": list(metadata["consolidated_metadata"]["metadata"]),
                                 "consolidated": number % 2 == 0})
                    wanted.append((room, commit, format_ + (" sharded" if sharded else "")))
        with tempfile.TemporaryDirectory() as out:
            for (room, commit, what), arrays in zip(wanted, read_with_zarrita(self, jobs, out)):
                with self.subTest(room=room, commit=commit, what=what):
                    self.compare(arrays, room, commit)


class Requests(zn.StoreCase):
    """What HTTP clients of the view rely on."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, output = zn.import_file(cls.store, "md", zn.DATA / "strained_crystal.xyz", options=["--chunk", "4"])
        assert code == 0, output
        cls.server = zn.Server(cls.store)
        cls.commit = cls.server.room("md").json()["commit"]

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    KEYS = ("/zarr/md/arrays.positions/0.0.0", "/zarr/md/zarr.json", "/zarr/md/.zmetadata", "/zarr/zarr.json",
            "/zarr/md/arrays.positions/.zarray", "/zarr-sharded/md/arrays.positions/0.0.0")

    def test_ranges_and_suffix_ranges(self):
        for path in self.KEYS:
            whole = self.server.get(path)
            self.assertEqual(whole.status, 200, path)
            self.assertEqual(whole.headers["Accept-Ranges"], "bytes")
            size = len(whole.body)
            for spec, part in (("0-0", whole.body[:1]), ("3-20", whole.body[3:21]), (f"{size - 5}-", whole.body[-5:]),
                               ("-16", whole.body[-16:]), (f"-{2 * size}", whole.body), (f"7-{2 * size}", whole.body[7:])):
                reply = self.server.get(path, {"Range": f"bytes={spec}"})
                self.assertEqual((reply.status, reply.body), (206, part), f"{path} {spec}")
                self.assertTrue(reply.headers["Content-Range"].endswith(f"/{size}"))
            self.assertEqual(self.server.get(path, {"Range": f"bytes={size}-"}).status, 416, path)
            head = self.server.request("HEAD", path)
            self.assertEqual((head.status, head.body, head.headers["Content-Length"]), (200, b"", str(size)), path)
            self.assertEqual(head.headers["ETag"], whole.headers["ETag"])

    def test_etags_name_the_content(self):
        for path in self.KEYS:
            reply = self.server.get(path)
            again = self.server.get(path, {"If-None-Match": reply.headers["ETag"]})
            self.assertEqual((again.status, again.body), (304, b""), path)
            self.assertEqual(again.headers["ETag"], reply.headers["ETag"])
            self.assertEqual(reply.headers["Cache-Control"], "no-cache", path)
            if path.startswith("/zarr/zarr"):
                continue
            pinned = self.server.get(path.replace("/md/", f"/md@{self.commit}/"))
            self.assertEqual((pinned.status, pinned.body), (200, reply.body))
            self.assertEqual(pinned.headers["ETag"], reply.headers["ETag"])
            self.assertIn("immutable", pinned.headers["Cache-Control"])

    def test_missing_keys_are_404_and_nothing_else(self):
        for path in ("/zarr/md/arrays.positions/99.0.0", "/zarr/md/arrays.positions/0.0", "/zarr/md/nothing/0",
                     "/zarr/md/nothing/.zarray", "/zarr/md/.zarray", "/zarr/md/c/0/0", "/zarr/none/.zgroup", "/zarr/.zmetadata",
                     "/zarr/.zarray", "/zarr-sharded/md/.zgroup", "/zarr-sharded/md/arrays.positions/1.0.0",
                     "/zarr/md@9-0123456789abcdef/.zgroup", "/zarr/md/arrays.positions/0.0.0/x"):
            for method in ("GET", "HEAD"):
                reply = self.server.request(method, path)
                self.assertEqual(reply.status, 404, f"{method} {path}")
                self.assertTrue(reply.headers["Content-Type"].startswith("application/problem+json"), path)
        self.assertEqual(self.server.get("/zarr/md@nonsense/.zgroup").status, 400)
        self.assertEqual(self.server.request("PUT", "/zarr/md/.zgroup").status, 405)

    def test_hot_and_cold_replies_are_alike(self):
        path = "/zarr/md/arrays.positions/1.0.0"
        cold = self.server.get(path)
        hot = self.server.get(path)  # the chunk was read before: answered on the I/O thread
        self.assertEqual(cold.body, hot.body)
        drop = lambda reply: {k: v for k, v in reply.headers.items() if k != "Date"}
        self.assertEqual(drop(cold), drop(hot))


if __name__ == "__main__":
    unittest.main()

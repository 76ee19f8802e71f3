#!/usr/bin/python3
"""zn-export, read by the programs that people have: zarr-python, xarray, fsspec, zarrita, h5py, MDAnalysis, ASE, NumPy.

Every shared sample that imports is exported in every format, from a store that a server holds; each reader's values must
be those that the server serves, field by field and frame by frame. A user who loses this cannot leave with their data.
"""
import gzip
import json
import shutil
import subprocess
import tempfile
import time
import unittest
import warnings
from pathlib import Path

import ase.io
import fsspec
import h5py
import numpy as np
import zarr

import zarr_view_test as view
from support import zn

EXPORT = zn.BIN / "zn-export"
warnings.filterwarnings("ignore")


def export(store, room, out, *options, **limits):
    return zn.run([EXPORT, "--store", store, "--room", room, out, *options], **limits)


def same(got, want):
    """Bit for bit but for the kind of NaN; texts as JSON."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return False
    if want.dtype.kind == "b":
        return bool((got.astype(bool) == want).all())
    if got.dtype.kind in "fc" or want.dtype.kind in "fc":
        return got.dtype == want.dtype and bool(((got == want) | (np.isnan(got) & np.isnan(want))).all())
    return bool((got == want).all())


class Room:
    """What the server serves of a room: name -> one value a frame, None where it is absent."""

    def __init__(self, server, room):
        self.room = room
        columns = server.room(room, "/frames", format="columns").columns()
        self.n_atoms = columns.n_atoms
        self.kinds = {name: field["kind"] for name, field in columns.fields.items()}
        self.fields = {name: columns.rows(name) for name in columns.fields}


class Exports(zn.StoreCase):
    """One room a sample file, all in one store, held by a server while they are exported."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.out = Path(cls.folder.name) / "out"
        cls.out.mkdir()
        sources = sorted(zn.DATA.glob("*.xyz")) + sorted(zn.DATA.glob("*.h5"))
        sources += [zn.SHARED / name for name in sorted(zn.expected_files()) if not name.startswith("bad/")]
        for name in ("rounded.h5", "rounded_and_edited.h5"):  # one with an even number, one with an odd one
            sources.append(Path(cls.folder.name) / name)
            view.write_rounded(sources[-1])
        cls.rooms, cls.commits = {}, {}
        for number, path in enumerate(sources):
            code, _ = zn.import_file(cls.store, f"r{number}", path)
            if code != 0:
                continue
            cls.rooms[f"r{number}"] = path
            if number % 2:  # frames edited, inserted, moved, deleted
                code, output = zn.run([zn.BIN / "zn-test-edit-room", cls.store, f"r{number}"])
                assert code == 0, output
                cls.commits[f"r{number}"] = [line.split()[1] for line in output.splitlines() if len(line.split()) == 2]
        cls.server = zn.Server(cls.store)
        cls.want = {room: Room(cls.server, room) for room in cls.rooms}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def each(self, suffix, check, *options, rooms=None):
        for room, path in (self.rooms if rooms is None else rooms).items():
            with self.subTest(room=room, file=path.name):
                out = self.out / f"{room}{suffix}"
                code, text = export(self.store, room, out, *options)
                self.assertEqual(code, 0, text)
                check(out, self.want[room])
                shutil.rmtree(out) if out.is_dir() else out.unlink()

    def assert_rows(self, name, got, want):
        """got(frame) -> value or None, for every frame."""
        for frame, value in enumerate(want.fields[name]):
            have = got(frame)
            if value is None or have is None:
                self.assertTrue(value is None and have is None, f"{name}, frame {frame}: presence")
            elif isinstance(value, (str, dict, list)) or np.asarray(value).dtype.kind in "OU":
                self.assertEqual(have, value, f"{name}, frame {frame}")
            else:
                self.assertTrue(same(have, value), f"{name}, frame {frame}: {have!r} for {value!r}")

    def test_rooms(self):
        self.assertGreaterEqual(len(self.rooms), 34 if zn.expected_files() else 4)

    def test_rounded_values_are_among_them(self):
        """Every test here reads rooms whose chunks are in a codec that no other program has."""
        rooms = [room for room, path in self.rooms.items() if path.name.startswith("rounded")]
        self.assertEqual([view.is_rounded(self.server, room) for room in rooms], [True, True])
        self.assertEqual(sum(room in self.commits for room in rooms), 1)

    # ---- Zarr --------------------------------------------------------------------------------

    expected = view.ZarrView.expected

    # Padding, presence, lengths and every value, against the server's frames: as the view's own test.
    compare = view.ZarrView.compare

    def check_zarr(self, group, want):
        self.compare({name: array[...] for name, array in group.arrays()}, want.room, None)

    def test_zarr_v2_directory_in_zarr_python(self):
        def check(out, want):
            self.check_zarr(zarr.open_consolidated(str(out), mode="r"), want)
            self.check_zarr(zarr.open_group(str(out), mode="r"), want)
        self.each(".zarr", check, "--zarr", "2")

    def test_old_commits(self):
        for number, (room, commits) in enumerate(self.commits.items()):
            for commit in {commits[0], commits[number % len(commits)]}:
                with self.subTest(room=room, commit=commit):
                    out = self.out / "old.zarr"
                    code, text = export(self.store, f"{room}@{commit}", out, "--zarr", "2")
                    self.assertEqual(code, 0, text)
                    self.compare({name: array[...] for name, array in zarr.open_consolidated(str(out), mode="r").arrays()},
                                 room, commit)
                    shutil.rmtree(out)

    def test_zarr_v2_zip_in_zarr_python(self):
        def check(out, want):
            store = zarr.ZipStore(str(out), mode="r")
            self.check_zarr(zarr.open_group(store, mode="r"), want)
            self.assertIsNone(store.zf.testzip())
            store.close()
        self.each(".zarr.zip", check)

    def test_kerchunk_references_in_fsspec(self):
        def check(out, want):
            mapper = fsspec.filesystem("reference", fo=str(out), remote_protocol="file").get_mapper("")
            # Key by key: fetching many at once, fsspec before 2023 takes a chunk that is all fill for an error.
            self.check_zarr(zarr.open_consolidated(zarr.storage.KVStore(mapper), mode="r"), want)
        self.each(".kerchunk.json", check)

    def test_zarr_v2_in_xarray(self):
        try:
            import xarray
        except ImportError:
            self.skipTest("python3-xarray is not installed")

        def check(out, want):
            with xarray.open_zarr(str(out), consolidated=True, decode_times=False) as data:
                if "arrays.positions" in want.fields:
                    positions = data["arrays.positions"]
                    self.assertEqual(positions.dims[0], "frame")
                    for frame, value in enumerate(want.fields["arrays.positions"]):
                        if value is not None:
                            self.assertTrue(same(positions[frame].values[:len(value)], value))
        self.each(".zarr", check, "--zarr", "2")

    def test_both_versions_share_their_chunks(self):
        def check(out, want):
            self.check_zarr(zarr.open_group(str(out), mode="r"), want)
            self.assertTrue((out / "zarr.json").exists())
        self.each(".zarr", check, "--zarr", "3,2")

    @view.needs_node
    def test_zarr_v3_v2_and_shards_in_zarrita(self):
        jobs, wanted = [], []
        for number, room in enumerate(self.rooms):
            for kind, options, formats in (("zarr", ["--zarr", "3,2"], ("v3", "v2")), ("zarr-sharded", [], ("v3",))):
                out = self.out / f"{room}-{kind}"
                code, text = export(self.store, room, out, "--format", kind, *options)
                self.assertEqual(code, 0, text)
                metadata = json.loads((out / "zarr.json").read_text())
                for version in formats:
                    jobs.append({"url": out.as_uri(), "format": version, "consolidated": number % 2 == 0,
                                 "arrays": list(metadata["consolidated_metadata"]["metadata"])})
                    wanted.append((room, kind, version))
        with tempfile.TemporaryDirectory() as out:
            for j, arrays in enumerate(view.read_with_zarrita(self, jobs, out)):
                with self.subTest(what=wanted[j]):
                    self.compare(arrays, wanted[j][0], None)
        for path in self.out.glob("*-zarr*"):
            shutil.rmtree(path)

    # ---- H5MD --------------------------------------------------------------------------------

    def test_h5md_in_h5py(self):
        def check(out, want):
            with h5py.File(out, "r") as file:
                self.assertEqual(file["h5md"].attrs["version"].tolist(), [1, 1])
                for part in ("author", "creator"):
                    self.assertIsInstance(file[f"h5md/{part}"].attrs["name"], str)
                self.assertEqual(file["particles/all/box"].attrs["dimension"], 3)
                self.assertEqual(len(file["particles/all/box"].attrs["boundary"]), 3)
                own = file["parameters/znstore"]
                self.assertTrue((own["n_atoms"][...] == want.n_atoms).all())
                seen = set()
                for entry in own["fields"].values():
                    name = entry.attrs["name"]
                    seen.add(name)
                    data = file[entry.attrs["data"]]
                    rows = {int(f): r for r, f in enumerate(entry["frames"])} if "frames" in entry else None
                    ends = np.concatenate([[0], np.cumsum(entry["lengths"][...])]) if "lengths" in entry else None
                    values = data.asstr()[...] if h5py.check_string_dtype(data.dtype) else data[...]

                    def got(frame):
                        row = frame if rows is None else rows.get(frame)
                        if row is None:
                            return None
                        if ends is not None:
                            return values[ends[row]:ends[row + 1]]
                        value = values[row]
                        if want.kinds[name] == "atom":
                            value = value[:want.n_atoms[frame]]
                        return json.loads(value) if isinstance(value, str) else value
                    self.assert_rows(name, got, want)
                    self.check_element(file, entry.attrs["data"], rows)
                # A field that no frame has (any more) is nothing to export.
                self.assertEqual(seen, {name for name, values in want.fields.items()
                                        if any(value is not None for value in values)})
        self.each(".h5md", check)

    def check_element(self, file, path, rows):
        """An element has step (and time where there is one) of as many rows as value; steps grow."""
        if not path.endswith("/value"):
            return
        group = file[path.rsplit("/", 1)[0]]
        self.assertEqual(len(group["step"]), len(group["value"]))
        self.assertTrue((np.diff(group["step"][...].astype(np.int64)) > 0).all())
        if "time" in group:
            self.assertEqual(len(group["time"]), len(group["value"]))

    def test_h5md_in_mdanalysis(self):
        try:
            import MDAnalysis
        except ImportError:
            self.skipTest("python3-mdanalysis is not installed")

        def check(out, want):
            positions = want.fields.get("arrays.positions")
            if positions is None or len(set(want.n_atoms)) != 1 or want.n_atoms[0] == 0:
                return  # MDAnalysis knows one number of atoms
            universe = MDAnalysis.Universe.empty(int(want.n_atoms[0]), trajectory=False)
            universe.load_new(str(out), format="H5MD", convert_units=False)
            positions = [value for value in positions if value is not None]  # an element has no rows for other frames
            self.assertEqual(len(universe.trajectory), len(positions))
            for frame, _ in enumerate(universe.trajectory):
                got = universe.atoms.positions
                self.assertTrue(np.array_equal(got, np.asarray(positions[frame], np.float32), equal_nan=True))
        # Without forces, whose unit, eV/Å, MDAnalysis does not know; and it wants velocities and boxes wherever positions are.
        def complete(room, name):
            fields = self.want[room].fields
            values = fields.get(name) or fields.get("arrays." + name)
            return values is not None and (name == "positions" or all(value is not None for value in values))
        fields = {room: [f for f in ("positions", "velocities", "cell") if complete(room, f)] for room in self.rooms}
        for room in self.rooms:
            if "positions" in fields[room]:
                self.each(".h5md", check, "--fields", ",".join(fields[room]), rooms={room: self.rooms[room]})

    def test_import_of_an_export_is_the_same(self):
        with tempfile.TemporaryDirectory(prefix="zn-test-") as folder:
            other = Path(folder) / "store"
            for room in self.rooms:
                code, text = export(self.store, room, self.out / "a.h5md")
                self.assertEqual(code, 0, text)
                code, text = zn.import_file(other, room, self.out / "a.h5md")
                self.assertEqual(code, 0, text)
                (self.out / "a.h5md").unlink()
            with zn.Server(other) as server:
                for room, path in self.rooms.items():
                    with self.subTest(room=room, file=path.name):
                        again, first = (s.room(room, "/frames", format="columns").columns().raw for s in (server, self.server))
                        # A field that was in deleted frames only is the room's still, but in no export of what is there.
                        held = {name for name, rows in self.want[room].fields.items() if any(r is not None for r in rows)}
                        self.assertEqual((again["n_frames"], again["n_atoms"]), (first["n_frames"], first["n_atoms"]))
                        self.assertEqual(again["fields"], {n: f for n, f in first["fields"].items() if n in held})
                        described = ("name", "kind", "dtype", "shape", "unit")
                        got, want = ({f["name"]: {k: f.get(k) for k in described} for f in s.fields(room)
                                      if f["name"] in held} for s in (server, self.server))
                        self.assertEqual(got, want)

    # ---- text and NumPy ----------------------------------------------------------------------

    def check_ase(self, frames, want):
        """Numbers are written with the fewest digits that are the same in the field's own type."""
        def equal(got, want):
            return np.array_equal(np.asarray(got).astype(np.asarray(want).dtype), want)
        self.assertEqual(len(frames), len(want.n_atoms))
        nothing = [None] * len(frames)
        for frame, atoms in enumerate(frames):
            self.assertEqual(len(atoms), want.n_atoms[frame])
            self.assertTrue(equal(atoms.positions, want.fields["arrays.positions"][frame]))
            cell = want.fields.get("cell", nothing)[frame]
            if cell is not None and np.abs(cell).any():
                self.assertTrue(equal(atoms.cell.array, cell))
            energy = want.fields.get("calc.energy", nothing)[frame]
            if energy is not None and np.isfinite(energy):
                self.assertTrue(equal(atoms.get_potential_energy(), energy))
            forces = want.fields.get("calc.forces", nothing)[frame]
            if forces is not None and np.isfinite(forces).all():
                self.assertTrue(equal(atoms.get_forces(), forces))

    def with_positions(self):
        """Rooms that extended XYZ can hold and ASE reads: atoms with positions in every frame."""
        return {room: path for room, path in self.rooms.items()
                if all(p is not None for p in self.want[room].fields.get("arrays.positions", [None]))
                and min(self.want[room].n_atoms) > 0}

    def test_extxyz_in_ase(self):
        self.each(".xyz", lambda out, want: self.check_ase(ase.io.read(out, ":", format="extxyz"), want),
                  rooms=self.with_positions())

    def test_compressed_extxyz_in_ase(self):
        def check(out, want):
            with gzip.open(out, "rt") as text:
                self.check_ase(ase.io.read(text, ":", format="extxyz"), want)
        self.each(".xyz.gz", check, rooms=self.with_positions())

    def check_arrays(self, load, names, want):
        """Padded arrays as the API's npz has them."""
        self.assertTrue((load("n_atoms") == want.n_atoms).all())
        for name in want.fields:
            values = load(name)
            present = load(f"{name}.present") if f"{name}.present" in names else np.ones(len(want.n_atoms), bool)
            lengths = load(f"{name}.lengths") if f"{name}.lengths" in names else None
            order = np.cumsum(present) - 1

            def got(frame):
                if not present[frame]:
                    return None
                value = values[frame]
                if want.kinds[name] == "atom":
                    value = value[:want.n_atoms[frame]]
                if lengths is not None:
                    value = value[:lengths[order[frame]]]
                if values.dtype.kind == "U":  # strings as they are, other values as JSON
                    whole = want.fields[name][frame]
                    return str(value) if isinstance(whole, str) else json.loads(str(value))
                return value
            self.assert_rows(name, got, want)

    def test_npz_in_numpy(self):
        def check(out, want):
            with np.load(out) as arrays:
                self.check_arrays(lambda name: arrays[name], arrays.files, want)
            self.assertIsNone(__import__("zipfile").ZipFile(out).testzip())
        self.each(".npz", check)

    def test_npy_in_numpy(self):
        def check(out, want):
            def load(name):
                return np.load(out / (name.replace("%", "%25").replace("/", "%2F") + ".npy"), mmap_mode="r")
            names = {p.name[:-4].replace("%2F", "/").replace("%25", "%") for p in out.glob("*.npy")}
            self.check_arrays(load, names, want)
        self.each("-npy", check, "--format", "npy")

    # ---- the program -------------------------------------------------------------------------

    def test_slices_are_the_apis(self):
        room = max(self.rooms, key=lambda r: len(self.want[r].n_atoms))
        want = self.want[room]
        for text in ("3:50:7", "-1", "::-9", "5,1,5"):
            out = self.out / "slice.npz"
            code, output = export(self.store, room, out, "--indices=" + text, "--fields", "positions", "--force")
            self.assertEqual(code, 0, output)
            reply = self.server.room(room, "/frames", indices=text, data="positions", format="npz")
            with np.load(out) as got:
                self.assertTrue(same(got["arrays.positions"], reply.npz()["arrays.positions"]), text)

    def test_help_version_and_usage(self):
        code, text = zn.run([EXPORT, "--help"])
        self.assertEqual(code, 0)
        self.assertIn("Examples:", text)
        self.assertEqual(zn.run([EXPORT, "--version"])[0], 0)
        self.assertEqual(zn.run([zn.BIN / "zn-import", "--version"])[0], 0)
        self.assertEqual(export(self.store, "nope", self.out / "x.zarr")[0], 2)
        self.assertEqual(zn.run([EXPORT, "--store", "/nonexistent", "--room", "a", self.out / "x.zarr"])[0], 3)

    def test_json_lines(self):
        room = next(iter(self.rooms))
        code, text = export(self.store, room, self.out / "j.zarr", "--json")
        self.assertEqual(code, 0, text)
        summary = json.loads(text.splitlines()[-1])
        self.assertEqual(summary["event"], "summary")
        self.assertEqual(summary["frames"], len(self.want[room].n_atoms))
        code, text = export(self.store, "nope", self.out / "j2.zarr", "--json")
        line = next(line for line in text.splitlines() if line.startswith("{"))
        self.assertEqual(json.loads(line)["exit_code"], code)


class Killed(zn.StoreCase):
    """kill -9 in the middle, then the same command again."""

    def test_goes_on(self):
        source = Path(self.folder.name) / "big.xyz"
        rng = np.random.default_rng(1)
        with open(source, "w") as f:
            for frame in range(3000):
                f.write(f"200\nProperties=species:S:1:pos:R:3 energy={frame}\n")
                for x, y, z in rng.normal(size=(200, 3)):
                    f.write(f"H {x:.17g} {y:.17g} {z:.17g}\n")
        code, text = zn.import_file(self.store, "r", source, options=["--chunk", "4"])
        self.assertEqual(code, 0, text)
        folder = Path(self.folder.name)
        for kind, options in (("zarr", ["--zarr", "3,2"]), ("npy", []), ("zarr-sharded", [])):
            options = ["--format", kind, *options, "--json"]
            began = time.monotonic()
            code, text = export(self.store, "r", folder / "whole", *options)
            seconds = time.monotonic() - began
            self.assertEqual(code, 0, text)
            want = tree(folder / "whole")
            shutil.rmtree(folder / "whole")
            kept = 0
            for at in range(6):
                out = folder / f"killed-{kind}-{at}"
                process = subprocess.Popen([str(x) for x in (EXPORT, "--store", self.store, "--room", "r", out, *options)],
                                           stdout=subprocess.DEVNULL)
                time.sleep(seconds * (at + 0.5) / 6)
                process.kill()
                process.wait()
                for name, content in (tree(out) if out.exists() else {}).items():
                    self.assertEqual(content, want[name], f"{name} is there and not whole")
                code, text = export(self.store, "r", out, *options)
                self.assertEqual(code, 0, text)
                kept += json.loads(text.splitlines()[-1])["files_kept"]
                self.assertEqual(tree(out), want)
                self.assertEqual(list(out.rglob(".zn-export-tmp*")), [])
                shutil.rmtree(out)
            if kind == "zarr":  # of hundreds of files, some stood when it was killed
                self.assertGreater(kept, 0)


def tree(folder):
    """Relative path -> content of every file that stands under its final name, but the marker."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*"))
            if p.is_file() and not p.name.startswith(".zn-export")}


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/python3
"""Every readable shared sample, imported by zn-import and served by zn-server: what a client gets is what is in the file.

Compared with expected.json (made by independent readers) and, value by value, with ASE, a raw reader and h5py. Expected
differences, and nothing else, are listed in DIFFERENCES. A user who loses this loses or falsifies data without notice.
"""
import io
import math
import unittest
from urllib.parse import quote

import ase.io
import numpy as np

from support import extxyz, h5md, zn

# File -> field -> why a reader sees it otherwise than we serve it; compared without that field.
DIFFERENCES = {}
ASE_DIFFERENCES = {
    "extxyz/chemfiles_extended.xyz": {"arrays.bool": "ASE takes t, tRUE and TRUE for false; the grammar has them"},
}


def files():
    chosen = []
    for name, want in sorted(zn.expected_files().items()):
        folder = name.split("/")[0]
        if folder in ("h5md", "extxyz") or name.startswith("hdf5/asebytes_ragged"):
            chosen.append((name, want))
    return chosen


def same(got, want, rtol):
    """Equal as JSON, or as arrays of one shape; NaN equals NaN. rtol only for floats."""
    if isinstance(want, (str, dict)) or want is None:
        return got == want
    if isinstance(want, list):
        return isinstance(got, (list, np.ndarray)) and len(got) == len(want) and \
            all(same(g, w, rtol) for g, w in zip(got, want))
    got, want = np.asarray(got), np.asarray(want)
    if got.dtype.kind in "OUS" or want.dtype.kind in "OUS":
        return got.tolist() == want.tolist()
    if got.shape != want.shape:
        return False
    if want.dtype.kind == "b" or got.dtype.kind == "b":
        return got.dtype.kind == want.dtype.kind and bool((got == want).all())
    if want.dtype.kind in "iu" and got.dtype.kind in "iu":
        return bool((got == want).all())
    scale = np.abs(want[np.isfinite(want)]).max() if want.size and np.isfinite(want).any() else 0
    return bool(np.allclose(got, want, rtol=rtol, atol=rtol * scale, equal_nan=True))


class Samples(zn.StoreCase):
    """One room a file, all in one store, one server."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rooms, cls.failed = {}, {}
        for number, (name, want) in enumerate(files()):
            groups = list(want["groups"]) if isinstance(want.get("groups"), dict) else []
            for group in groups if len(groups) > 1 else [None]:
                room = f"r{number}" + (f"-{group}" if group else "")
                code, output = zn.import_file(cls.store, room, zn.SHARED / name,
                                              options=["--group", group] if group else [])
                (cls.rooms if code == 0 else cls.failed)[name, group] = (room, want) if code == 0 else output[-400:]
        cls.server = zn.Server(cls.store)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def each(self, check):
        for (name, group), (room, want) in self.rooms.items():
            with self.subTest(file=name, group=group):
                check(name, group, room, want)

    @zn.needs_shared
    def test_every_file_imports(self):
        self.assertEqual(self.failed, {})
        self.assertGreaterEqual(len(self.rooms), 34)

    @zn.needs_shared
    def test_equals_expected_json(self):
        def check(name, group, room, want):
            n_atoms = self.server.room(room, "/frames", data="positions", format="columns").columns().n_atoms
            described = want
            grouped = isinstance(want.get("groups"), dict)  # particle groups of an H5MD file
            if grouped:
                described = want["groups"][group or next(iter(want["groups"]))]
            if "frames" in described:
                self.assertEqual(len(n_atoms), described["frames"])
            if "atoms_min" in described:
                self.assertEqual((n_atoms.min(), n_atoms.max()), (described["atoms_min"], described["atoms_max"]))
            if "atoms_total" in described:
                self.assertEqual(n_atoms.sum(), described["atoms_total"])
            self.assertEqual(self.server.room(room).json()["frameCount"], len(n_atoms))
            positions = [p for p in self.server.room(room, "/frames", data="positions", format="columns").columns().rows(
                "arrays.positions") if len(p)]
            scale = 1.0
            if grouped:
                scale = h5md.FACTORS[described["elements"]["position"].get("unit")]
            if "first_position" in described and "id" not in described.get("elements", {}):
                np.testing.assert_allclose(positions[0][0], np.array(described["first_position"]) * scale, rtol=1e-6)
                np.testing.assert_allclose(positions[-1][-1], np.array(described["last_position"]) * scale, rtol=1e-6)
            if "cell_first" in want:
                frame = self.server.room(room, "/frames/0", data="cell").frame()
                np.testing.assert_allclose(frame["cell"], want["cell_first"], rtol=1e-9)
            if "pbc_first" in want:
                frame = self.server.room(room, "/frames/0", data="pbc").frame()
                self.assertEqual(frame["pbc"].tolist(), want["pbc_first"])
        self.each(check)

    @zn.needs_shared
    def test_sums_of_every_column_and_key(self):
        def check(name, _group, room, want):
            known = {f["name"] for f in self.server.fields(room)}
            for kind, table, sums in (("arrays.", extxyz.COLUMNS, want.get("column_sums", {})),
                                      ("info.", extxyz.KEYS, want.get("info_sums", {}))):
                for key, total in sums.items() if "kv_edge_cases" not in name else ():  # its columns share fields
                    field = table.get(key, kind + key)
                    if key in ("Lattice", "stress", "virial") or field not in known:
                        continue  # renamed or rearranged: compared value by value below
                    rows = [r for r in self.server.room(room, "/frames", data=quote(field, safe=""), format="columns")
                            .columns().rows(field) if r is not None]
                    got = math.fsum(float(x) for r in rows for x in np.ravel(np.asarray(r, float)))
                    self.assertTrue(math.isclose(got, total, rel_tol=1e-9, abs_tol=1e-7), f"{field}: {got}, not {total}")
        self.each(check)

    def compare(self, room, name, frames, rtol, differences=DIFFERENCES):
        got = []
        for begin in range(0, len(frames), 250):
            got += self.server.room(room, "/frames", indices=f"{begin}:{begin + 250}").frames()
        self.assertEqual(len(got), len(frames))
        ignored = set(differences.get(name, {}))
        for k, (g, w) in enumerate(zip(got, frames)):
            missing = set(w) - set(g) - ignored
            extra = set(g) - set(w) - ignored
            self.assertFalse(missing or extra, f"frame {k}: missing {sorted(missing)}, extra {sorted(extra)}")
            for field in sorted(set(w) - ignored):
                self.assertTrue(same(g[field], w[field], rtol),
                                f"frame {k} {field}: {str(g[field])[:300]} is not {str(w[field])[:300]}")
        return got

    @zn.needs_shared
    def test_extxyz_equals_the_raw_reader_value_by_value(self):
        def check(name, _group, room, _want):
            if name.startswith("extxyz/") and "kv_edge_cases" not in name:
                self.compare(room, name, extxyz.raw_frames(zn.SHARED / name), rtol=1e-15)
        self.each(check)

    @zn.needs_shared
    def test_extxyz_equals_ase_value_by_value(self):
        def check(name, _group, room, want):
            if not name.startswith("extxyz/") or not any("ASE 3.22.1: agrees" in r for r in want["readers"]):
                return
            frames = extxyz.ase_frames(zn.SHARED / name)
            raw = extxyz.raw_frames(zn.SHARED / name)
            for frame, plain in zip(frames, raw):
                # ASE takes a plain file's comment apart into flags and shapes a virial; the raw reader was compared above.
                for field in set(plain) ^ set(frame):
                    frame.pop(field, None)
                    if field in plain:
                        frame[field] = plain[field]
            self.compare(room, name, frames, rtol=1e-15, differences=ASE_DIFFERENCES)
        self.each(check)

    @zn.needs_shared
    def test_extxyz_grammar_equals_the_hand_written_values(self):
        (room, want), = [(r, w) for (n, _), (r, w) in self.rooms.items() if n.endswith("kv_edge_cases.xyz")]
        frames = self.server.room(room, "/frames").frames()
        self.assertEqual(len(frames), 4)
        first = frames[0]
        for key, value in want["frame0_info_expected"].items():
            if key == "stress_voigt":
                field = "calc.stress"
            elif key == "energy":
                field = "calc.energy"
            elif key == "spaced" or key == "quoted key":
                field = f"info.{key}"
            else:
                field = f"info.{key}"
            self.assertIn(field, first)
            self.assertTrue(same(first[field], value if not isinstance(value, list) or
                                 any(isinstance(v, str) for v in value) else np.array(value), 1e-15),
                            f"{field}: {first[field]!r} is not {value!r}")
        self.assertEqual(list(first["arrays.label"]), want["frame0_labels"])
        self.assertEqual(first["arrays.frozen"].tolist(), [True, False, True])
        self.assertEqual(frames[1]["info.comment"], want["frame1"]["comment"])
        self.assertEqual(len(frames[2]["arrays.positions"]), 0)
        self.assertEqual(frames[2]["calc.energy"], 0.0)
        self.assertEqual(frames[3]["arrays.numbers"].tolist(), want["frame3"]["numbers"])
        np.testing.assert_array_equal(frames[3]["arrays.velocities"], want["frame3"]["velo"])
        np.testing.assert_array_equal(frames[3]["arrays.masses"], want["frame3"]["masses"])
        self.assertEqual(frames[3]["calc.free_energy"], want["frame3"]["free_energy"])

    @zn.needs_shared
    def test_hdf5_equals_h5py_value_by_value(self):
        def check(name, group, room, _want):
            if not name.startswith("extxyz/"):
                # float32 that is converted is rounded once.
                self.compare(room, name, h5md.read(zn.SHARED / name, group), rtol=3e-7 if "zarrtraj" in name or
                             "permuted" in name else 1e-14)
        self.each(check)

    @zn.needs_shared
    def test_every_format_gives_what_msgpack_gives(self):
        def check(name, _group, room, _want):
            fields = self.server.fields(room)
            count = self.server.room(room).json()["frameCount"]
            some = f"0:{min(count, 60)}"
            frames = self.server.room(room, "/frames", indices=some).frames()
            columns = self.server.room(room, "/frames", indices=some, format="columns").columns()
            texts = self.server.room(room, "/frames", indices=some, format="json").json()
            self.assertEqual(len(texts), len(frames))
            for field in fields:
                field = field["name"]
                have = [k for k, f in enumerate(frames) if field in f]
                if not have:
                    continue
                for k, row in enumerate(columns.rows(field)):
                    self.assertEqual(row is not None, field in frames[k], f"columns: {field} of frame {k}")
                    if row is not None:
                        self.assertTrue(same(row, frames[k][field], 0), f"columns: {field} of frame {k}")
                for k in have:
                    # Shortest round trip is that of the field's own dtype: 0.1 is the text of float32's 0.1.
                    self.assertTrue(same(typed(from_json(texts[k][field]), frames[k][field]), frames[k][field], 0),
                                    f"json: {field} of frame {k}: {texts[k][field]!r:.200}")
                if not isinstance(frames[have[0]][field], (np.ndarray, np.generic)):
                    continue
                self.npy(room, field, frames, have)
        self.each(check)

    def npy(self, room, field, frames, have):
        quoted = quote(field, safe="")
        if len(have) < len(frames):
            first = next(k for k in range(len(frames)) if k not in have)
            reply = self.server.get(f"/api/rooms/{room}/frames?indices=0:{len(frames)}&data={quoted}&format=npy")
            self.assertEqual(reply.status, 400, f"npy of {field}, which is not in frame {first}")
            self.assertIn(str(first), reply.json()["detail"])
        chosen = ",".join(map(str, have))
        array = self.server.room(room, "/frames", indices=chosen, data=quoted, format="npy").npy()
        self.assertEqual(len(array), len(have))
        joined = self.server.room(room, "/frames", indices=chosen, data=quoted, format="npy", pad="false").npy()
        at = 0
        for row, k in zip(array, have):
            want = np.asarray(frames[k][field])
            per_atom = want.ndim and row.shape != want.shape
            if per_atom:
                padding = row[len(want):]
                self.assertTrue(np.isnan(padding).all() if padding.dtype.kind == "f" else not padding.any(),
                                f"npy: padding of {field} of frame {k}")
                row = row[:len(want)]
            self.assertEqual(row.dtype, want.dtype)
            self.assertEqual(row.tobytes(), want.tobytes(), f"npy: {field} of frame {k}")
        if joined.ndim == array.ndim - 1:  # per atom
            self.assertEqual(joined.tobytes(), b"".join(frames[k][field].tobytes() for k in have))

    @zn.needs_shared
    def test_extxyz_replies_read_back_with_ase(self):
        for name in ("extxyz/mptrj_random_1k.xyz", "extxyz/janus_NaCl_md.xyz", "extxyz/ec_emc_xtb.xyz",
                     "extxyz/qm9_reduced_100.xyz", "h5md/znh5md_mptrj_200.h5"):
            room, _ = self.rooms[name, None]
            with self.subTest(file=name):
                frames = self.server.room(room, "/frames", indices="0:20").frames()
                reply = self.server.room(room, "/frames", indices="0:20", format="extxyz")
                self.assertTrue(reply.headers["Content-Type"].startswith("chemical/x-extxyz"))
                images = ase.io.read(io.StringIO(reply.body.decode()), index=":", format="extxyz")
                self.assertEqual(len(images), len(frames))
                for frame, atoms in zip(frames, images):
                    np.testing.assert_array_equal(atoms.numbers, frame["arrays.numbers"])
                    np.testing.assert_array_equal(atoms.positions, frame["arrays.positions"])
                    np.testing.assert_array_equal(atoms.pbc, frame["pbc"])
                    if "cell" in frame:
                        np.testing.assert_array_equal(atoms.cell.array, frame["cell"])
                    for field, result in (("calc.energy", "energy"), ("calc.forces", "forces")):
                        if field in frame:
                            np.testing.assert_array_equal(atoms.calc.results[result], frame[field])
                    if "calc.stress" in frame:
                        np.testing.assert_allclose(extxyz.voigt(atoms.calc.results["stress"]), frame["calc.stress"],
                                                   rtol=1e-15)


def from_json(value):
    """JSON as api.md writes numbers."""
    special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    if isinstance(value, list):
        return [from_json(v) for v in value]
    return special.get(value, value) if isinstance(value, str) else value


def typed(value, like):
    if not isinstance(like, (np.ndarray, np.generic)):
        return value
    # JSON has no shape for what is empty.
    return np.asarray(value, like.dtype).reshape(like.shape) if like.size == 0 else np.asarray(value, like.dtype)


class OwnSamples(zn.StoreCase):
    """The repository's own data/, so that something is compared where the shared samples are missing."""

    def test_own_samples_equal_ase_and_h5py(self):
        wanted = {}
        for path in sorted(zn.DATA.glob("*.xyz")) + [zn.DATA / "slab.h5"]:
            room = path.stem
            code, output = zn.import_file(self.store, room, path)
            self.assertEqual(code, 0, output)
            wanted[room] = extxyz.ase_frames(path) if path.suffix == ".xyz" else h5md.read(path)
        with zn.Server(self.store) as server:
            for room, frames in wanted.items():
                got = server.room(room, "/frames").frames()
                self.assertEqual(len(got), len(frames))
                for k, (g, w) in enumerate(zip(got, frames)):
                    self.assertEqual(set(g), set(w), f"{room} frame {k}")
                    for field in w:
                        self.assertTrue(same(g[field], w[field], 3e-7 if room == "slab" else 1e-15),
                                        f"{room} frame {k} {field}: {g[field]} is not {w[field]}")


if __name__ == "__main__":
    unittest.main()

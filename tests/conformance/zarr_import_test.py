#!/usr/bin/python3
"""Zarr in: stores that zarr-python 2.13 wrote and v3 stores written from the specification come back over HTTP with the
values they have; chunks that fit are stored as they are; what is damaged or hostile is refused and leaves nothing."""
import hashlib
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

import numpy as np
import zarr
from numcodecs import Blosc, Delta, FixedScaleOffset, GZip, LZ4, Shuffle, VLenUTF8, Zlib, Zstd

from support import zarr3, zn
from zarr_view_test import NODE, needs_node, write_rounded

FRAMES = 11
# A pack that is being written is mapped to its full 1 GiB.
LIMIT = dict(limit=None if os.environ.get("ZN_SANITIZE") else 3 << 30, seconds=60)


def values(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        return rng.integers(0, 120, shape).astype(dtype)
    array = np.round(rng.normal(0, 5, shape), 2)
    return (array + 1j * array[::-1] if dtype.kind == "c" else array).astype(dtype)


def chunk_names(store):
    """sha256 of every chunk record in packs and log (docs/format.md, "Records" and "Packs")."""
    names = set()
    for path in [*Path(store).glob("packs/*.pack"), *Path(store).glob("log/*.log")]:
        data = path.read_bytes()
        for at in range(0, len(data) - 63, 64):
            if data[at:at + 5] == b"ZNR1\x01":
                length = struct.unpack("<Q", data[at + 8:at + 16])[0]
                # In packs a table of checksums stands before a long payload.
                table = 4 * -(-length // 4096) if path.suffix == ".pack" and length > 4096 else 0
                payload = at + 64 + -(-table // 64) * 64
                if hashlib.sha256(data[payload:payload + length]).digest() == data[at + 16:at + 48]:
                    names.add(data[at + 16:at + 48].hex())
    return names


def file_name(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class ZarrCase(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="zn-zarr-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.rooms = 0

    def room_of(self, path, *options):
        """The import's output and, by field, the rows of every frame."""
        self.rooms += 1
        store = self.folder / f"store{self.rooms}"
        code, output = zn.import_file(store, "r", path, options=options, **LIMIT)
        self.assertEqual(code, 0, output)
        self.store = store
        with zn.Server(store) as server:
            self.fields = {f["name"]: f for f in server.fields("r")["fields"]} if isinstance(
                server.fields("r"), dict) else {f["name"]: f for f in server.fields("r")}
            reply = server.room("r", "/frames", format="columns").columns()
        self.n_atoms = list(reply.n_atoms)
        return output, {name: reply.rows(name) for name in reply.fields}

    def refused(self, path, *parts, options=(), codes=(1,)):
        store = self.folder / "refused"
        code, output = zn.import_file(store, "r", path, options=options, **LIMIT)
        self.assertIn(code, codes, output)
        for part in (Path(path).name, *parts):
            self.assertIn(part, output)
        self.assertFalse(store.exists(), "a store was made of nothing")

    def equal(self, rows, array, name):
        self.assertEqual(len(rows), len(array), name)
        for i, row in enumerate(rows):
            np.testing.assert_array_equal(np.asarray(row), np.asarray(array[i]), err_msg=f"{name}, frame {i}")
            if np.asarray(array).dtype.kind != "O":
                self.assertEqual(np.asarray(row).dtype, np.asarray(array).dtype.newbyteorder("<"), name)


class Version2(ZarrCase):
    def cases(self):
        """name -> (array, arguments of create_dataset)."""
        cases = {}
        shape, chunks = (FRAMES, 7, 3), (4, 5, 2)
        for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd", "snappy"):
            for shuffle in (-1, 0, 1, 2):
                cases[f"blosc.{cname}.{shuffle}"] = values("f4", shape), dict(compressor=Blosc(cname, 5, shuffle))
        for name, compressor in dict(zstd=Zstd(3), lz4=LZ4(), gzip=GZip(4), zlib=Zlib(6), none=None).items():
            for order in "CF":
                for dtype in ("<f8", ">f8", ">i2", "<u4"):
                    cases[f"{name}.{order}.{'big' if dtype[0] == '>' else 'little'}.{dtype[1:]}"] = (
                        values(dtype, shape), dict(compressor=compressor, order=order))
        for dtype in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", ">c16", ">f2"):
            cases[f"type.{dtype[-2:] if dtype[0] != '>' else 'big' + dtype[1:]}"] = values(dtype, shape), {}
        filters = dict(delta=[Delta("<i4")], delta_narrow=[Delta("<i4", astype="<i2")], delta_float=[Delta("<f4")],
                       scale=[FixedScaleOffset(1, 100, "<f8", "<i4")], scale_float=[FixedScaleOffset(0.5, 100, "<f4", ">i2")],
                       scale_delta=[FixedScaleOffset(0, 100, "<f8", "<i8"), Delta("<i8", astype="<i4")],
                       shuffle=[Shuffle(8)], delta_shuffle=[Delta("<i8"), Shuffle(8)])
        types = dict(delta="<i4", delta_narrow="<i4", delta_float="<f4", scale="<f8", scale_float="<f4", scale_delta="<f8",
                     shuffle="<f8", delta_shuffle="<i8")
        for name, list_ in filters.items():
            for order in "CF":
                cases[f"filter.{name}.{order}"] = (values(types[name], shape),
                                                   dict(filters=list_, compressor=Zlib(1), order=order))
        for arguments in cases.values():
            arguments[1].setdefault("chunks", chunks)
        flat = values("f4", shape)
        cases["keys.nested"] = flat, dict(chunks=chunks, dimension_separator="/")
        cases["chunks.one"] = flat, dict(chunks=False)
        cases["chunks.single"] = flat, dict(chunks=(1, 1, 1))
        cases["chunks.larger"] = flat, dict(chunks=(64, 64, 64))
        cases["scalar"] = values("f8", (FRAMES,)), dict(chunks=(3,))
        cases["no_extent"] = np.zeros((FRAMES, 0), "f4"), dict(chunks=(3, 1))
        return cases

    def write(self, path, store=None, **group):
        root = zarr.open_group(store if store is not None else str(path), mode="w", **group)
        expected = {}
        for name, (array, arguments) in self.cases().items():
            made = root.create_dataset(f"info.{name}", shape=array.shape, dtype=array.dtype, **arguments)
            made[...] = array
            expected[f"info.{name}"] = made[...]  # filters may round
        fill = root.create_dataset("info.missing", shape=(FRAMES, 2), chunks=(2, 2), dtype="i4", fill_value=-9)
        fill[4:6] = 1
        expected["info.missing"] = fill[...]
        expected["info.unwritten"] = root.create_dataset("info.unwritten", shape=(FRAMES,), dtype="f8", fill_value=2.5)[...]
        texts = np.array([f"t{i} é" * (i % 3) for i in range(FRAMES)], object)
        root.create_dataset("info.text", shape=texts.shape, chunks=(4,), dtype=object, object_codec=VLenUTF8())[...] = texts
        expected["info.text"] = texts
        root.create_dataset("zero_d", shape=(), dtype="f8")[...] = 3.0
        root.create_dataset("empty", shape=(0, 3), dtype="f8")
        return root, expected

    def check(self, path, expected):
        output, rows = self.room_of(path)
        self.assertEqual(set(rows), set(expected))
        for name, array in expected.items():
            self.equal(rows[name], array, name)
        self.assertIn("zero_d: has no axes: left out", output)
        self.assertIn("empty: has 0 rows", output)

    def test_every_compressor_filter_order_and_type(self):
        _, expected = self.write(self.folder / "a.zarr")
        self.check(self.folder / "a.zarr", expected)

    def test_consolidated_in_a_zip_archive(self):
        path = self.folder / "a.zip"
        store = zarr.ZipStore(str(path), mode="w")
        _, expected = self.write(path, store)
        zarr.consolidate_metadata(store)
        store.close()
        self.check(path, expected)

    def test_a_deflated_zip_of_the_folder(self):
        _, expected = self.write(self.folder / "a.zarr")
        shutil.make_archive(str(self.folder / "b"), "zip", self.folder, "a.zarr")
        self.check(self.folder / "b.zip", expected)

    def test_only_consolidated_metadata(self):
        path = self.folder / "a.zarr"
        root = zarr.open_group(str(path), mode="w")
        array = values("f4", (FRAMES, 6, 3))
        root.create_dataset("positions", data=array, chunks=(4, 6, 3))
        zarr.consolidate_metadata(str(path))
        (path / "positions/.zarray").unlink()
        _, rows = self.room_of(path)
        self.equal(rows["arrays.positions"], array, "positions")

    def test_frames_are_selected_as_in_other_formats(self):
        path = self.folder / "a.zarr"
        array = values("f4", (40, 6, 3))
        zarr.open_group(str(path), mode="w").create_dataset("positions", data=array, chunks=(8, 6, 3))
        _, rows = self.room_of(path, "--start", 5, "--stop", 33, "--step", 4)
        self.equal(rows["arrays.positions"], array[5:33:4], "positions")
        _, rows = self.room_of(path, "--start", 8, "--stop", 30)
        self.equal(rows["arrays.positions"], array[8:30], "positions")
        _, rows = self.room_of(path, "--dtype", "float64", "--map", "positions=arrays.elsewhere")
        self.equal(rows["arrays.elsewhere"], array.astype("f8"), "elsewhere")
        code, output = zn.run([zn.BIN / "zn-import", path, "--dry-run"])
        self.assertEqual(code, 0, output)
        self.assertIn("arrays.positions", output)


class Version3(ZarrCase):
    def test_codecs_keys_and_shards(self):
        path = self.folder / "a.zarr"
        zarr3.write_group(path)
        shape, chunks = (FRAMES, 6, 4), (4, 3, 4)
        expected = {}

        def add(name, array, *args, **kwargs):
            expected["info." + name] = array
            zarr3.write_array(path / ("info." + name), array, *args, **kwargs)

        blosc = {"name": "blosc", "configuration": {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle", "typesize": 4, "blocksize": 0}}
        gzip, zstd = {"name": "gzip", "configuration": {"level": 3}}, {"name": "zstd", "configuration": {"level": 3, "checksum": False}}
        for name, keys in dict(default=("default", "/"), dots=("default", "."), v2=("v2", "."), v2_nested=("v2", "/")).items():
            add(f"keys.{name}", values("f4", shape), chunks, keys=keys)
        for name, codecs in dict(plain=[zarr3.LITTLE], big=[zarr3.BIG, gzip], blosc=[zarr3.LITTLE, blosc], zstd=[zarr3.LITTLE, zstd],
                                 crc=[zarr3.LITTLE, zstd, "crc32c"],
                                 transposed=[{"name": "transpose", "configuration": {"order": [2, 0, 1]}}, zarr3.LITTLE, gzip]).items():
            add(f"codecs.{name}", values("i4", shape), chunks, codecs, fill=7)
        sparse = values("f4", shape)
        sparse[4:9, :3] = 2
        for name, codec in dict(end=zarr3.sharding((2, 3, 4), [zarr3.LITTLE, gzip]),
                                start=zarr3.sharding((4, 3, 2), [zarr3.BIG], [zarr3.BIG], "start"),
                                nested=zarr3.sharding((4, 6, 4), [zarr3.sharding((2, 2, 2), [zarr3.LITTLE, zstd])]),
                                ).items():
            add(f"shards.{name}", sparse, (8, 6, 4), [codec], fill=2)
        add("shards.transposed", sparse, (8, 6, 4), [{"name": "transpose", "configuration": {"order": [1, 2, 0]}},
                                                      zarr3.sharding((3, 2, 4), [zarr3.LITTLE])], fill=2)
        add("type.bool", values("?", shape), chunks, ["bytes"], fill=False)
        add("scalar", values("f8", (FRAMES,)), (3,), fill=float("nan"))
        texts = np.array(["", "a", "é"] * 3 + ["x" * 500, "{}"], object)
        add("text", texts, (4,), ["vlen-utf8", zstd], fill="")
        add("text_shards", texts, (8,), [zarr3.sharding((2,), ["vlen-utf8", gzip])], fill="")
        add("missing", np.full((FRAMES, 2), 7, "i2"), (3, 2), fill=7)
        zarr3.write_array(path / "zero_d", np.float64(3).reshape(()), ())
        output, rows = self.room_of(path)
        self.assertEqual(set(rows), set(expected))
        for name, array in expected.items():
            if name.startswith("info.text"):
                array = np.array([json.loads(t) if t[:1] == "{" else t for t in array], object)
            self.equal(rows[name], array, name)
        self.assertIn("zero_d", output)


    def test_in_a_zip_archive(self):
        """Shards too, of which parts are read: from members that are stored, and from deflated ones."""
        path = self.folder / "a.zarr"
        zarr3.write_group(path)
        array = values("f4", (16, 30, 3))
        gzip = [zarr3.LITTLE, {"name": "gzip", "configuration": {"level": 3}}]
        zarr3.write_array(path / "positions", array, (8, 30, 3), [zarr3.sharding((2, 30, 3), gzip)])
        zarr3.write_array(path / "energy", values("f8", (16,)), (5,), gzip)
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with self.subTest(method=method):
                packed = self.folder / f"{method}.zip"
                with zipfile.ZipFile(packed, "w", method) as archive:
                    for file in path.rglob("*"):
                        archive.write(file, file.relative_to(path))
                _, rows = self.room_of(packed)
                self.equal(rows["arrays.positions"], array, "positions")
                self.equal(rows["calc.energy"], values("f8", (16,)), "energy")

    @needs_node
    def test_written_by_zarrita(self):
        path, jobs, shape = self.folder / "a.zarr", [], (FRAMES, 6, 3)
        little = {"name": "bytes", "configuration": {"endian": "little"}}

        def add(name, dtype="float32", chunks=(4, 6, 2), **more):
            jobs.append(dict(name=f"info.{name}", dtype=dtype, shape=shape, chunks=chunks, **more))
        add("as_it_likes")  # no codecs, and null as fill value
        add("dots", separator=".")
        for dtype in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"):
            add(f"big.{dtype}", dtype, codecs=[{"name": "bytes", "configuration": {"endian": "big"}}])
        add("transposed", codecs=[{"name": "transpose", "configuration": {"order": [2, 0, 1]}}, little])
        for codec in ({"name": "zstd", "configuration": {"level": 5, "checksum": False}},
                      {"name": "numcodecs.lz4", "configuration": {"acceleration": 1}},
                      *({"name": "blosc", "configuration": {"cname": cname, "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}}
                        for cname in ("lz4", "zstd", "blosclz"))):
            add(f"{codec['name']}.{codec['configuration'].get('cname', '')}", codecs=[little, codec])
        (self.folder / "jobs.json").write_text(json.dumps(jobs))
        done = subprocess.run(["node", NODE / "write_zarr.mjs", path, self.folder / "jobs.json"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:])
        _, rows = self.room_of(path)
        self.assertEqual(set(rows), {job["name"] for job in jobs})
        for job in jobs:
            self.equal(rows[job["name"]], (np.arange(FRAMES * 18) % 97).astype(job["dtype"]).reshape(shape), job["name"])


class Hierarchies(ZarrCase):
    def test_znstore_own(self):
        """As the server's view and zn-export lay a room out."""
        path = self.folder / "a.zarr"
        zarr3.write_group(path, {"znstore": {"commit": "1-0000000000000000"}})
        counts = np.array([3, 0, 5, 5, 2, 4, 1], "i4")
        positions = np.full((7, 5, 3), np.nan, "f4")
        forces = np.full((7, 5, 3), np.nan)
        for i, n in enumerate(counts):
            positions[i, :n] = values("f4", (n, 3), i)
            forces[i, :n] = values("f8", (n, 3), i + 50)
        has_forces = np.array([1, 1, 0, 0, 1, 1, 0], bool)
        forces[~has_forces] = np.nan
        bonds, lengths = np.zeros((7, 4, 2), "i8"), np.array([2, 0, 4, 1, 1, 3, 0])
        for i, n in enumerate(lengths):
            bonds[i, :n] = values("i8", (n, 2), i)
        notes = np.array(['"a"', "3", '{"x":[1]}', "null", '""', "[]", "1.5"], object)
        blosc = [zarr3.LITTLE, {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 16384}}]
        keys = ("v2", ".")
        zarr3.write_array(path / "n_atoms", counts, (4,), keys=keys)
        zarr3.write_array(path / "arrays.positions", positions, (2, 4, 3), blosc, float("nan"), keys,
                          {"kind": "atom", "unit": "Å", "aliases": ["positions"]}, ["frame", "atom", "dim3"])
        zarr3.write_array(path / "calc.forces", forces, (4, 5, 3), fill=float("nan"), keys=keys, attributes={"kind": "atom", "unit": "eV/Å"})
        zarr3.write_array(path / "calc.forces.__present__", has_forces, (7,), ["bytes"], False, keys)
        zarr3.write_array(path / "connectivity", bonds, (7, 4, 2), keys=keys, attributes={"kind": "ragged"})
        zarr3.write_array(path / "connectivity.__lengths__", lengths, (7,), keys=keys)
        zarr3.write_array(path / "info.n~20te", notes, (4,), ["vlen-utf8"], "", keys, {"kind": "frame", "encoding": "json", "field": "info.n te"})
        zarr3.write_array(path / "info.nan", np.full(7, np.nan), (4,), fill=float("nan"), keys=keys, attributes={"kind": "frame"})
        _, rows = self.room_of(path)
        self.assertEqual(self.n_atoms, list(counts))
        for i, n in enumerate(counts):
            np.testing.assert_array_equal(rows["arrays.positions"][i], positions[i, :n])
            if has_forces[i]:
                np.testing.assert_array_equal(rows["calc.forces"][i], forces[i, :n])
            else:
                self.assertIsNone(rows["calc.forces"][i])
            np.testing.assert_array_equal(rows["connectivity"][i], bonds[i, :lengths[i]])
            self.assertEqual(rows["info.n te"][i], json.loads(notes[i]))
            self.assertTrue(np.isnan(rows["info.nan"][i]))
        self.assertEqual(self.fields["arrays.positions"]["unit"], "Å")
        names = chunk_names(self.store)
        # Grid chunks that are full and padded as ours are were stored as they are.
        for key in ("0.0.0", "1.1.0", "2.0.0"):
            self.assertIn(file_name(path / "arrays.positions" / key), names, key)

    def asebytes_group(self, folder, padded):
        counts = [3, 2, 4, 4]
        numbers = [values("i8", (n,), i) for i, n in enumerate(counts)]
        positions = [values("f8", (n, 3), i) for i, n in enumerate(counts)]
        forces = [values("f8", (n, 3), i + 9) for i, n in enumerate(counts)]
        attributes = {"n_frames": 4, "columns": ["arrays.numbers", "arrays.positions", "calc.forces", "calc.energy", "cell"],
                      "per_atom_columns": ["arrays.numbers", "arrays.positions", "calc.forces"], "asebytes_version": "0.3"}
        zarr3.write_group(folder, attributes)
        energy, cell = np.array([1.0, np.nan, 3.0, 4.0]), values("f8", (4, 3, 3))

        def column(rows, fill):
            if not padded:
                return np.concatenate(rows)
            out = np.full((4, 4) + rows[0].shape[1:], fill, rows[0].dtype)
            for i, row in enumerate(rows):
                out[i, :len(row)] = row
            return out

        forces[1][:] = np.nan  # a frame without
        for name, rows, fill in (("arrays.numbers", numbers, 0), ("arrays.positions", positions, float("nan")), ("calc.forces", forces, float("nan"))):
            array = column(rows, fill)
            zarr3.write_array(folder / name, array, (3,) + array.shape[1:], fill=fill)
        zarr3.write_array(folder / "calc.energy", energy, (3,), fill=float("nan"))
        zarr3.write_array(folder / "cell", cell, (3, 3, 3))
        if padded:
            zarr3.write_array(folder / "_n_atoms", np.array(counts, "i4"), (3,))
        else:
            zarr3.write_array(folder / "_offsets", np.cumsum([0] + counts[:-1]), (3,))
            zarr3.write_array(folder / "_lengths", np.array(counts, "i4"), (3,))
        return counts, numbers, positions, forces, energy, cell

    def test_asebytes(self):
        for padded in (True, False):
            with self.subTest(padded=padded):
                path = self.folder / f"a{padded}.zarr"
                path.mkdir()  # asebytes puts its groups into a plain folder
                counts, numbers, positions, forces, energy, cell = self.asebytes_group(path / "default", padded)
                _, rows = self.room_of(path, *(["--group", "default"] if padded else []))
                self.assertEqual(self.n_atoms, counts)
                for i in range(4):
                    np.testing.assert_array_equal(rows["arrays.numbers"][i], numbers[i])
                    np.testing.assert_array_equal(rows["arrays.positions"][i], positions[i])
                    np.testing.assert_array_equal(rows["cell"][i], cell[i])
                    if i == 1:
                        self.assertIsNone(rows["calc.forces"][i])
                        self.assertIsNone(rows["calc.energy"][i])
                    else:
                        np.testing.assert_array_equal(rows["calc.forces"][i], forces[i])
                        self.assertEqual(rows["calc.energy"][i], energy[i])

    def test_zarrtraj(self):
        """H5MD's tree in Zarr v2, in nm and ps."""
        path = self.folder / "a.zarrmd"
        root = zarr.open_group(str(path), mode="w")
        h5md = root.create_group("h5md")
        h5md.attrs["version"] = [1, 1]
        h5md.create_group("creator").attrs.update(name="zarrtraj", version="0.3")
        h5md.create_group("author").attrs["name"] = "x"
        group = root.create_group("particles/trajectory")
        positions, box = values("f4", (FRAMES, 5, 3)), np.tile(np.diag([2, 3, 4]).astype("f4"), (FRAMES, 1, 1))
        for name, array, unit in (("position", positions, "nm"), ("box/edges", box, "nm")):
            element = group.require_group(name)
            element.create_dataset("value", data=array, chunks=(4,) + array.shape[1:]).attrs["unit"] = unit
            element.create_dataset("step", data=np.arange(FRAMES) * 10)
            element.create_dataset("time", data=np.arange(FRAMES) * 0.5).attrs["unit"] = "ps"
        group["box"].attrs["boundary"] = ["periodic"] * 3
        _, rows = self.room_of(path)
        for i in range(FRAMES):
            np.testing.assert_allclose(rows["arrays.positions"][i], positions[i] * 10, rtol=1e-6)
            np.testing.assert_allclose(rows["cell"][i], box[i] * 10, rtol=1e-6)
            self.assertEqual(rows["step"][i], i * 10)
        self.assertTrue(all(np.all(row) for row in rows["pbc"]))

    def test_any_arrays_of_a_row_a_frame(self):
        path = self.folder / "a.zarr"
        root = zarr.open_group(str(path), mode="w")
        positions, energy = values("f8", (FRAMES, 12, 3)), values("f8", (FRAMES,))
        root.create_dataset("positions", data=positions, chunks=(4, 12, 3)).attrs["units"] = "nm"
        root.create_dataset("dft/energy", data=energy)
        root.create_dataset("dft/dipoles", data=values("f8", (FRAMES, 12, 3), 5))
        root.create_dataset("numbers", data=np.arange(12))
        root.create_dataset("box", data=values("f8", (FRAMES, 3), 3))
        root.create_dataset("unrelated", data=np.arange(5))
        output, rows = self.room_of(path, "--map", "dft/energy=calc.energy")
        np.testing.assert_allclose(np.array(rows["arrays.positions"]), positions * 10)
        self.equal(rows["calc.energy"], energy, "energy")
        self.equal(rows["arrays.dft.dipoles"], values("f8", (FRAMES, 12, 3), 5), "dipoles")
        np.testing.assert_array_equal(rows["arrays.numbers"][3], np.arange(12))
        np.testing.assert_array_equal(rows["cell"][2], np.diag(values("f8", (FRAMES, 3), 3)[2]))
        self.assertIn("unrelated: has 5 rows", output)
        code, output = zn.run([zn.BIN / "zn-import", path, "--dry-run", "--map", "dft/enrgy=calc.energy"])
        self.assertNotEqual(code, 0)

    def test_one_of_several_groups(self):
        path = self.folder / "a.zarr"
        root = zarr.open_group(str(path), mode="w")
        for i, name in enumerate(("a", "b")):
            root.create_group(name).create_dataset("positions", data=values("f4", (3, 4, 3), i))
        self.refused(path, "--group", "a, b", codes=(1, 2))
        _, rows = self.room_of(path, "--group", "b")
        self.equal(rows["arrays.positions"], values("f4", (3, 4, 3), 1), "positions")


class StoredAsTheyAre(ZarrCase):
    def names(self, path, *keys):
        return {file_name(path / key) for key in keys}

    def test_chunks_that_fit_keep_their_bytes(self):
        array = values("f4", (10, 30, 3))
        for name, compressor in dict(blosc=Blosc("zstd", 7, Blosc.BITSHUFFLE), lz4=LZ4(3), zstd=Zstd(5), gzip=GZip(9), none=None).items():
            with self.subTest(compressor=name):
                path = self.folder / f"{name}.zarr"
                root = zarr.open_group(str(path), mode="w")
                root.create_dataset("positions", data=array, chunks=(4, 30, 3), compressor=compressor)
                _, rows = self.room_of(path)
                self.equal(rows["arrays.positions"], array, name)
                whole = self.names(path, "positions/0.0.0", "positions/1.0.0")
                self.assertLessEqual(whole, chunk_names(self.store))
                # The end of an array is no full chunk: it is made short.
                self.assertNotIn(file_name(path / "positions/2.0.0"), chunk_names(self.store))

    def test_chunks_of_shards_too(self):
        array = values("f4", (16, 30, 3))
        path = self.folder / "a.zarr"
        zstd = [zarr3.LITTLE, {"name": "zstd", "configuration": {"level": 3, "checksum": False}}]
        zarr3.write_group(path)
        zarr3.write_array(path / "positions", array, (8, 30, 3), [zarr3.sharding((4, 30, 3), zstd)])
        _, rows = self.room_of(path)
        self.equal(rows["arrays.positions"], array, "positions")
        expected = {hashlib.sha256(zarr3.encode(array[i:i + 4], zstd, 0)).hexdigest() for i in range(0, 16, 4)}
        self.assertLessEqual(expected, chunk_names(self.store))

    def test_other_codecs_and_grids_are_encoded_anew(self):
        array = values("f4", (8, 30, 3))
        path = self.folder / "a.zarr"
        zarr.open_group(str(path), mode="w").create_dataset("positions", data=array, chunks=(4, 30, 3), compressor=Zlib(1))
        _, rows = self.room_of(path)
        self.equal(rows["arrays.positions"], array, "positions")
        self.assertNotIn(file_name(path / "positions/0.0.0"), chunk_names(self.store))
        path = self.folder / "b.zarr"
        zarr.open_group(str(path), mode="w").create_dataset("positions", data=array, chunks=(4, 30, 3))
        _, rows = self.room_of(path, "--chunk", "2")
        self.equal(rows["arrays.positions"], array, "positions")
        self.assertNotIn(file_name(path / "positions/0.0.0"), chunk_names(self.store))

    def import_(self, name, path, *options):
        store = self.folder / name
        code, output = zn.import_file(store, "r", path, options=options, **LIMIT)
        self.assertEqual(code, 0, output)
        return store

    def export(self, store, name, version):
        out = self.folder / name
        code, output = zn.run([zn.BIN / "zn-export", out, "--store", store, "--room", "r", "--zarr", version])
        self.assertEqual(code, 0, output)
        return out

    def files(self, folder):
        """Name -> sha256 of every chunk of an exported hierarchy."""
        return {str(p.relative_to(folder)): file_name(p) for p in folder.glob("*/*") if p.name[0].isdigit()}

    def test_round_trip_gives_the_same_names(self):
        for version in (2, 3):
            with self.subTest(version=version):
                source = self.import_(f"source{version}", zn.DATA / "molecules.xyz", "--codec", "default")
                again = self.import_(f"again{version}", self.export(source, f"exported{version}.zarr", version))
                self.assertEqual(chunk_names(again), chunk_names(source))

    def test_round_trip_of_rounded_values(self):
        """A codec of our own does not leave: what is exported is what an import without it would have stored."""
        path = self.folder / "rounded.h5"
        write_rounded(path, frames=1100)  # two whole chunks and a part
        plain, rounded = self.import_("plain", path, "--codec", "default"), self.import_("rounded", path)
        self.assertNotEqual(chunk_names(rounded), chunk_names(plain))
        packed = [sum(p.stat().st_size for p in store.glob("packs/*.pack")) for store in (rounded, plain)]
        self.assertLess(packed[0], 0.8 * packed[1])
        from_plain, from_rounded = self.export(plain, "plain.zarr", 3), self.export(rounded, "rounded.zarr", 3)
        self.assertEqual(self.files(from_rounded), self.files(from_plain))
        again = self.import_("again", from_rounded)
        self.assertEqual(chunk_names(again), chunk_names(plain))
        self.assertEqual(self.files(self.export(again, "again.zarr", 3)), self.files(from_rounded))


class Damaged(ZarrCase):
    def make(self, name="a.zarr", **arguments):
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        root = zarr.open_group(str(path), mode="w")
        root.create_dataset("positions", data=values("f4", (12, 5, 3)), chunks=(4, 5, 3), **arguments)
        return path

    def edit(self, path, **changes):
        document = path / "positions/.zarray"
        document.write_text(json.dumps({**json.loads(document.read_text()), **changes}))

    def test_metadata(self):
        for changes, parts in (
                (dict(shape=[2**62, 5, 3]), ("shape",)), (dict(shape=[10**12, 5, 3]), ("claims a shape", "3 of its")),
                (dict(shape=[12, 5]), ("chunks",)), (dict(chunks=[4, 5, 0]), ("chunks",)),
                (dict(chunks=[2**30, 5, 3]), ("chunks", "1 GiB")), (dict(dtype="<M8[ns]"), ("dtype", "M8")),
                (dict(dtype=[["a", "<f4"]]), ("dtype",)), (dict(compressor={"id": "jpeg2000"}), ("compressor", "jpeg2000")),
                (dict(filters=[{"id": "pickle"}]), ("filters", "pickle")), (dict(filters=[{"id": "json2"}]), ("filters", "json2")),
                (dict(order="X"), ("order",)), (dict(zarr_format=9), ("zarr_format",)), (dict(fill_value="x"), ("fill_value",))):
            with self.subTest(changes=changes):
                path = self.make()
                self.edit(path, **changes)
                self.refused(path, "positions", *parts)
        path = self.make()
        (path / "positions/.zarray").write_text("[" * 100000)
        self.refused(path, "positions", "nested")
        for cut in range(0, 200, 40):
            path = self.make()
            document = path / "positions/.zarray"
            document.write_text(document.read_text()[:cut])
            self.refused(path, "positions")
        path = self.make()
        (path / "positions/.zarray").write_text('{"zarr_format": 2}')
        self.refused(path, "positions", "shape")

    def test_an_array_that_cannot_be_read_may_be_left_out(self):
        path = self.make()
        zarr.open_group(str(path), mode="a").create_dataset("when", data=np.zeros(12, "M8[ns]"))
        self.refused(path, "when", "dtype", "--map when=")
        _, rows = self.room_of(path, "--map", "when=")
        self.assertEqual(set(rows), {"arrays.positions"})

    def test_version_3_extensions(self):
        for more, part in ((dict(storage_transformers=[{"name": "x"}]), "storage_transformers"), (dict(cipher={"name": "x"}), "cipher"),
                           (dict(chunk_grid={"name": "rectilinear", "configuration": {}}), "chunk_grid"),
                           (dict(codecs=[{"name": "pcodec"}]), "pcodec"), (dict(data_type="r24"), "data_type")):
            path = self.folder / "v3.zarr"
            shutil.rmtree(path, ignore_errors=True)
            zarr3.write_group(path)
            zarr3.write_array(path / "positions", values("f4", (12, 5, 3)), (4, 5, 3))
            document = path / "positions/zarr.json"
            document.write_text(json.dumps({**json.loads(document.read_text()), **more}))
            with self.subTest(more=more):
                self.refused(path, "positions", part)

    def test_chunks(self):
        for compressor in (None, Zlib(1), GZip(1), LZ4(), Zstd(1), Blosc("lz4")):
            with self.subTest(compressor=compressor):
                path = self.make(compressor=compressor)
                chunk = path / "positions/1.0.0"
                whole = chunk.read_bytes()
                for damaged in (whole[:len(whole) // 2], b"", whole[:-1], whole + b"x" * 100000):
                    chunk.write_bytes(damaged)
                    if compressor is None or not damaged.startswith(whole):
                        self.refused(path, "positions", "chunk 1.0.0")

    def test_shards(self):
        path = self.folder / "v3.zarr"
        zarr3.write_group(path)
        zarr3.write_array(path / "positions", values("f4", (12, 5, 3)), (4, 5, 3), [zarr3.sharding((2, 5, 3), [zarr3.LITTLE])])
        shard = path / "positions/c/1/0/0"
        whole = shard.read_bytes()
        for damaged in (b"", whole[:20], whole[:-1], whole[:-8] + b"\xff" + whole[-7:]):
            shard.write_bytes(damaged)
            self.refused(path, "positions", "c/1/0/0")

    def test_links_are_not_followed(self):
        path = self.make()
        outside = self.folder / "secret"
        (path / "positions/0.0.0").rename(outside)
        (path / "positions/0.0.0").symlink_to(outside)
        self.refused(path, "positions", "link")
        path = self.make()
        (path / "loop").symlink_to(path)
        (path / "positions/loop").symlink_to(path / "positions")
        _, rows = self.room_of(path)
        self.assertEqual(set(rows), {"arrays.positions"})
        os.mkfifo(path / "positions/.zattrs2")
        (path / "positions/1.0.0").unlink()
        os.mkfifo(path / "positions/1.0.0")
        self.refused(path, "positions", "regular file")

    def test_zip_archives(self):
        source = self.make()
        path = self.folder / "a.zip"
        shutil.make_archive(str(path)[:-4], "zip", source)
        whole = path.read_bytes()
        for size in (0, 4, 30, len(whole) // 2, len(whole) - 30, len(whole) - 1):
            path.write_bytes(whole[:size])
            self.refused(path)
        at = whole.find(b"positions/1.0.0") + 60
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        self.refused(path, "1.0.0")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
            for file in source.rglob("*"):
                archive.write(file, file.relative_to(source))
        self.refused(path, "zip method 12")

    def test_folders_that_are_no_zarr(self):
        path = self.folder / "plain"
        path.mkdir()
        (path / "a.txt").write_text("x")
        self.refused(path, "Zarr")
        zarr.open_group(str(self.folder / "empty.zarr"), mode="w")
        self.refused(self.folder / "empty.zarr", "no arrays")


if __name__ == "__main__":
    unittest.main()

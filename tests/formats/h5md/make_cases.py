#!/usr/bin/python3
"""Writes small H5MD files, one a case that no sample has, into a folder: make_cases.py FOLDER."""
import os
import sys

import h5py
import numpy as np

folder = sys.argv[1]


def new(name, creator="handmade", group="all"):
    file = h5py.File(os.path.join(folder, name), "w")
    h5md = file.create_group("h5md")
    h5md.attrs["version"] = [1, 1]
    h5md.create_group("author").attrs["name"] = "N/A"
    h5md.create_group("creator").attrs["name"] = creator
    return file, file.create_group("particles/" + group)


def element(parent, name, value, step=1, time=None, offset=None, unit=None, origin=None, **layout):
    group = parent.create_group(name)
    data = group.create_dataset("value", data=value, **layout)
    if step is not None:
        group["step"] = step
        if offset is not None:
            group["step"].attrs["offset"] = offset
    if time is not None:
        group["time"] = time
    if unit:
        data.attrs["unit"] = unit
    if origin:
        group.attrs["ASE_ENTRY_ORIGIN"] = origin
    return data


def box(parent, edges=None, boundary=("periodic",) * 3):
    group = parent.create_group("box")
    group.attrs["dimension"] = len(boundary)
    group.attrs["boundary"] = np.array([b.encode() for b in boundary])
    if edges is not None:
        group["edges"] = edges
    return group


positions = np.arange(6 * 4 * 3, dtype=np.float32).reshape(6, 4, 3)
text = h5py.string_dtype()

# ESPResSo++: edges as an attribute, a last axis of one, ids that are -1 where there is no particle, abstract types.
f, g = new("espresso.h5", "ESPResSo++", "atoms")
box(g).attrs["edges"] = np.array([4.0, 5.0, 6.0])
element(g, "position", positions.astype(float))
element(g, "id", np.array([[3, 1, -1, 2], [1, 2, 3, 4]] * 3, dtype=np.int32)[..., None])
element(g, "type", np.array([[30, 10, -1, 20], [1, 2, 3, 4]] * 3, dtype=np.int32)[..., None])
element(g, "mass", np.array([[3.0, 1, -1, 2], [1, 2, 3, 4]] * 3)[..., None])
f.create_group("connectivity")["fpl"] = np.array([[1, 3], [2, 4], [-1, -1]])
f.close()

# HALMD: two groups, observables of each at other steps and of everything, energies per particle.
f, g = new("halmd.h5", "HALMD", "A")
step = np.arange(0, 60, 10)
element(g, "position", positions, step=step, time=step * 0.1)
element(g, "species", np.zeros((6, 4), np.uint32), step=step)
element(f, "observables/A/potential_energy", np.arange(3.0), step=[0, 20, 40])
element(f, "observables/A/msd/r2", np.arange(12.0).reshape(6, 2), step=step)
element(f, "observables/B/potential_energy", np.arange(4.0), step=[0, 20, 40, 50])
element(f, "observables/temperature", np.arange(30.0), step=np.arange(0, 60, 2))
f["observables/dimension"] = 3
element(f["particles"], "B/position", positions[:, :2], step=step)
f.close()

# Images, with a tilted box.
f, g = new("unwrap.h5")
edges = np.array([[10.0, 0, 0], [2, 10, 0], [0, 0, 10]])
box(g, edges)["edges"].attrs["unit"] = "nm"
element(g, "position", positions, unit="nm")
image = np.zeros((6, 4, 3), np.int32)
image[2, 1] = [1, -1, 2]
element(g, "image", image)
f.close()

# Two dimensions.
f, g = new("flat.h5")
box(g, np.array([3.0, 4.0]), ("periodic", "none"))
element(g, "position", positions[..., :2])
f.close()

# Layouts: every one holds the same positions.
for name, layout in {
    "contiguous": {},
    "big_endian": {"dtype": ">f4"},
    "chunks": {"chunks": (4, 3, 2)},
    "gzip": {"chunks": (4, 3, 2), "compression": "gzip"},
    "everything": {"chunks": (4, 3, 2), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"chunks": (4, 4, 3), "compression": "lzf", "shuffle": True},
    "whole_rows": {"chunks": (2, 4, 3), "compression": "gzip", "shuffle": True},
    "resizable": {"chunks": (4, 7, 3), "maxshape": (None, None, 3), "compression": "gzip"},
    "big_endian_gzip": {"dtype": ">f4", "chunks": (2, 4, 3), "compression": "gzip", "shuffle": True},
    "scaleoffset": {"chunks": (2, 4, 3), "scaleoffset": 2},
}.items():
    f, g = new(f"layout_{name}.h5")
    element(g, "position", positions, **layout)
    f.close()
f, g = new("layout_compact.h5")
group = g.create_group("position")
plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
plan.set_layout(h5py.h5d.COMPACT)
low = h5py.h5d.create(group.id, b"value", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(positions.shape), plan)
low.write(h5py.h5s.ALL, h5py.h5s.ALL, positions)
group["step"] = 1
f.close()
# The same positions behind a user block: every address in the file is shifted.
with h5py.File(os.path.join(folder, "layout_user_block.h5"), "w", userblock_size=1024) as f:
    f.create_group("h5md").attrs["version"] = [1, 1]
    element(f.create_group("particles/all"), "position", positions)

# A chunk that was never written holds the fill value.
f, g = new("unwritten.h5")
data = element(g, "position", np.zeros((0, 4, 3), np.float32), chunks=(2, 4, 3), maxshape=(None, 4, 3),
               compression="gzip", fillvalue=7)
data.resize((6, 4, 3))
data[0:2] = positions[0:2]
f.close()

# Types.
f, g = new("types.h5")
element(g, "position", positions)
symbols = h5py.enum_dtype({"H": 0, "O": 1, "Na": 2}, basetype="i1")
g.create_dataset("species", data=np.array([1, 0, 0, 2], "i1"), dtype=symbols)
element(g, "moment", positions.astype(np.complex128) * 1j)
element(g, "half", positions.astype(np.float16))
element(g, "flag", positions[..., 0] > 30)
element(g, "small", positions[..., 0].astype(np.uint8))
element(g, "name", np.array([[b"CA", b"CB", b"", b"OX"]] * 6))
element(f, "observables/comment", np.array(["plain", "12", '{"a": NaN}', '["x"]', '"q"', ""], dtype=object), dtype=text)
element(f, "observables/extended", np.arange(6).astype(np.longdouble))
g.create_dataset("nothing", data=h5py.Empty("f4"))
f.close()

# Links within the file.
f, g = new("links.h5")
element(f, "store/where", positions)
g["position"] = h5py.SoftLink("/store/where")
g["dangling"] = h5py.SoftLink("/store/nowhere")
element(f, "observables/deep/value_of", np.arange(6.0))
f["observables/deep/back"] = f["observables"]
f.close()

# Things to refuse.
f, g = new("refuse_soft_to_external.h5")
f["out"] = h5py.ExternalLink("other.h5", "/x")
g["position"] = h5py.SoftLink("/out/position")
f.close()
f, g = new("refuse_soft_cycle.h5")
g["position"] = h5py.SoftLink("/particles/all/position")
f.close()
f, g = new("refuse_external_storage.h5")
group = g.create_group("position")
group.create_dataset("value", (6, 4, 3), "f4", external=[(os.path.join(folder, "raw.bin"), 0, 6 * 4 * 3 * 4)])
group["step"] = 1
f.close()
f, g = new("refuse_virtual.h5")
layout = h5py.VirtualLayout((6, 4, 3), "f4")
layout[:] = h5py.VirtualSource(os.path.join(folder, "layout_gzip.h5"), "particles/all/position/value", (6, 4, 3))
group = g.create_group("position")
group.create_virtual_dataset("value", layout)
group["step"] = 1
f.close()
f, g = new("refuse_giant_contiguous.h5")
group = g.create_group("position")
plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
plan.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
h5py.h5d.create(group.id, b"value", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((10**9, 10**5, 3)), plan)
group["step"] = 1
f.close()
f, g = new("refuse_fractional_species.h5", "znh5md", "atoms")
element(g, "position", positions.astype(float), origin="atoms")
element(g, "species", np.full((6, 4), 1.5), origin="atoms")
f.close()
f, g = new("refuse_empty_particles.h5")
del f["particles/all"]
f.close()

# asebytes: real n_atoms, zeros behind them; bonds of each frame with orders.
f, g = new("asebytes.h5md", "asebytes", "atoms")
padded = positions.astype(float)
padded[0, 2:] = np.nan
element(g, "position", padded, origin="atoms")
numbers = np.full((6, 4), 6.0)
numbers[0, 2:] = np.nan
element(g, "species", numbers, origin="atoms")
tags = np.arange(24).reshape(6, 4)
tags[0, 2:] = 0
element(g, "tags", tags, origin="arrays")
forces = np.full((6, 4, 3), np.nan)
forces[3] = 1
element(g, "force", forces, origin="calc", unit="eV/Angstrom")
f["asebytes/atoms/_n_atoms"] = np.array([2, 4, 4, 4, 4, 4], np.int32)
bonds = np.full((6, 2, 2), -1, np.int32)
bonds[0, 0] = [0, 1]
bonds[1] = [[0, 1], [2, 3]]
element(f, "connectivity/atoms/bonds", bonds)
orders = np.where(bonds[..., 0] < 0, np.nan, 1.5)
element(f, "connectivity/atoms/bond_orders", orders)
element(f, "observables/atoms/constraints", np.array(['[{"name": "FixAtoms"}]', "", "", "", "", ""], dtype=object),
        origin="info", dtype=text)
full = np.zeros((6, 3, 3))
full[1] = [[1, 6, 5], [6, 2, 4], [5, 4, 3]]
element(f, "observables/atoms/stress", full, origin="calc", unit="eV/Angstrom^3")
f.close()

# asebytes' ragged files.
with h5py.File(os.path.join(folder, "ragged.h5"), "w") as f:
    g = f.create_group("default")
    g.attrs["n_frames"] = 4
    g.attrs["per_atom_columns"] = ["arrays.numbers", "arrays.positions", "calc.forces"]
    lengths = np.array([2, 0, 3, 1], np.int32)
    g["_lengths"], g["_offsets"] = lengths, np.concatenate([[0], np.cumsum(lengths)[:-1]])
    g["arrays.numbers"] = np.arange(1, 7)
    g["arrays.positions"] = np.arange(18.0).reshape(6, 3)
    forces = np.full((6, 3), np.nan)
    forces[2:5] = 1
    g["calc.forces"] = forces
    g["calc.energy"] = np.array([1.0, np.nan, 3.0])
    g.create_dataset("info.words", data=np.array(['"a"', "", "b c", "12"], dtype=object), dtype=text)
    g["info.vector"] = np.array([[1.0, 2, np.nan], [3, 4, 5], [np.nan] * 3, [6, np.nan, np.nan]])
for name, key, value in [("offset", "_offsets", [0, 2, 2, 1 << 62]), ("length", "_lengths", [2, 0, -3, 1]),
                         ("beyond", "_offsets", [0, 2, 2, 100])]:
    with h5py.File(os.path.join(folder, f"ragged_bad_{name}.h5"), "w") as f:
        g = f.create_group("default")
        g.attrs["per_atom_columns"] = ["arrays.positions"]
        g["_lengths"], g["_offsets"] = np.array([2, 0, 3, 1]), np.array([0, 2, 2, 5])
        g[key][:] = np.array(value)
        g["arrays.positions"] = np.arange(18.0).reshape(6, 3)

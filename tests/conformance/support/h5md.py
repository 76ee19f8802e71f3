"""H5MD and asebytes files read with h5py for comparison, from the H5MD 1.1 specification and formats.md alone.

A list of frames, {canonical name: value}, in our units, as support/extxyz.py gives them.
"""
import json

import h5py
import numpy as np
from ase import units

ELEMENTS = {"position": "arrays.positions", "velocity": "arrays.velocities", "force": "calc.forces",
            "mass": "arrays.masses", "charge": "calc.charges", "species": "arrays.numbers"}
OBSERVABLES = {"potential_energy": "calc.energy", "stress": "calc.stress", "dipole": "calc.dipole"}
# To our units (Angstrom, Angstrom/fs, eV, eV/Angstrom, eV/Angstrom^3, fs); 1 where there is nothing to do.
FACTORS = {"Angstrom": 1, "nm": 10, "eV": 1, "eV/Angstrom": 1, "eV Angstrom-1": 1, "eV/Angstrom^3": 1, "Angstrom/fs": 1,
           "Angstrom fs-1": 1, "Angstrom ps-1": 1e-3, "kJ mol-1": units.kJ / units.mol,
           "kJ mol-1 Angstrom-1": units.kJ / units.mol, "ps": 1e3, "fs": 1, None: 1}


def text(value):
    return value.decode() if isinstance(value, bytes) else value


class Element:
    """Rows of an element by frame of the trajectory."""

    def __init__(self, node):
        self.timed = isinstance(node, h5py.Group)
        data = node["value"] if self.timed else node
        self.values = data.asstr()[()] if h5py.check_string_dtype(data.dtype) else data[()]
        self.unit = text(data.attrs.get("unit"))
        self.origin = text(node.attrs.get("ASE_ENTRY_ORIGIN"))
        rows = len(self.values) if self.timed else 0
        self.steps = self.axis(node, "step", rows) if self.timed else None
        self.times = self.axis(node, "time", rows) if self.timed else None

    @staticmethod
    def axis(node, name, rows):
        """One number a row: explicit, or an increment with an offset; None when there is none."""
        if name not in node:
            return None
        data = node[name]
        if data.shape == ():
            return data.attrs.get("offset", 0) + data[()] * np.arange(rows)
        return data[()]

    def rows_for(self, frames, steps):
        """The row of each frame, or None."""
        if not self.timed:
            return None
        n = len(self.values)
        if n == 1 and frames > 1:
            return [0] * frames
        if (self.steps is None or steps is None) and n != frames:
            return [None] * frames  # nothing says which frames they are
        if self.steps is None or steps is None:
            return [k if k < n else None for k in range(frames)]
        # Files that were written in batches may have fewer steps than rows: then rows are frames.
        short = min(len(self.steps), len(steps))
        if short < n or np.array_equal(self.steps[:short], steps[:short]):
            return [k if k < n else None for k in range(frames)]
        at = {int(s): row for row, s in enumerate(self.steps)}
        return [at.get(int(s)) for s in steps]


def read(path, group=None):
    with h5py.File(path, "r") as f:
        return ragged(f) if "particles" not in f else h5md(f, group)


def ragged(f):
    g = f[next(iter(f))]
    frames = []
    offsets, lengths = g["_offsets"][()], g["_lengths"][()]
    atom = set(g.attrs["per_atom_columns"])
    data = {}
    for name in g:
        if not name.startswith("_"):
            data[name] = g[name].asstr()[()] if h5py.check_string_dtype(g[name].dtype) else g[name][()]
    for k in range(len(lengths)):
        rows = slice(offsets[k], offsets[k] + lengths[k])
        frames.append({name: values[rows] if name in atom else
                       json.loads(values[k]) if isinstance(values[k], str) else values[k]
                       for name, values in data.items()})
    return frames


def h5md(f, group):
    creator = text(f["h5md/creator"].attrs["name"])
    group = group or next(iter(f["particles"]))
    particles = f["particles"][group]
    zn = creator == "znh5md"
    position = Element(particles["position"])
    frames = len(position.values) if position.timed else 1
    steps = position.steps

    # Real atoms of each frame.
    if "asebytes" in f:
        counts = f[f"asebytes/{group}/_n_atoms"][()]
    elif zn:
        counts = (~np.isnan(position.values[:, :, 0])).sum(axis=1)
    else:
        counts = [position.values.shape[-2]] * frames
    # Rows of an `id` that permutes are put in order of the id.
    order = None
    if "id" in particles:
        order = [np.argsort(row, kind="stable") for row in Element(particles["id"]).values]

    result = [{} for _ in range(frames)]

    def put(name, element, per_atom, factor=1, kind=None):
        rows = element.rows_for(frames, steps)
        # A column is made for a first value: where all are NaN, that value was one.
        genuine = np.asarray(element.values).dtype.kind == "f" and bool(np.isnan(element.values).all())
        for k in range(frames):
            if rows is not None and rows[k] is None:
                continue
            value = element.values if rows is None else element.values[rows[k]]
            if per_atom and np.ndim(value):
                # A species of a group is in the order of the first frame's rows when it has no time of its own.
                value = value[:counts[k]]
                if order is not None and rows is not None:
                    value = value[order[k]]
            if isinstance(value, str):
                if value == "":  # back-filled
                    continue
                value = json.loads(value)
            elif np.asarray(value).dtype.kind == "f":
                if zn and not genuine and np.isnan(value).all():  # back-filled
                    continue
                if zn and not per_atom and np.ndim(value) == 1:  # vectors of several lengths are padded too
                    value = value[:len(value) - int(np.cumprod(np.isnan(value[::-1])).sum())]
                value = value * factor if factor != 1 else value
            if kind == "int":
                value = np.asarray(value).astype(int)
            elif kind == "bool":
                value = np.asarray(value).astype(bool)
            result[k][name] = value

    abstract = creator in ("lammps", "HALMD") or creator == "colloids_to_janus.py"
    for name in particles:
        node = particles[name]
        if name in ("box",):
            continue
        element = Element(node)
        target = ELEMENTS.get(name)
        if element.origin == "info":
            target = f"info.{name}"
        elif element.origin == "arrays" and name not in ELEMENTS:
            target = f"arrays.{name}"
        factor = FACTORS[element.unit]
        if name == "velocity" and zn:
            factor = units.fs  # in ASE's units, whatever the label says
        if name == "species" and abstract:
            target = "arrays.type"
        put(target or f"arrays.{name}", element, per_atom=element.origin != "info", factor=factor,
            kind="int" if name == "species" else None)

    box = particles["box"] if "box" in particles else None
    if box is not None:
        if "edges" in box:
            edges = Element(box["edges"])
            factor = FACTORS[edges.unit]
            rank = np.ndim(edges.values) - edges.timed
            if rank == 1:
                edges.values = np.apply_along_axis(np.diag, -1, edges.values)
            put("cell", edges, False, factor)
        if "pbc" in box:
            put("pbc", Element(box["pbc"]), False, kind="bool")
        else:
            periodic = np.array([text(b) == "periodic" for b in box.attrs["boundary"]])
            for frame in result:
                frame["pbc"] = periodic

    observables = f.get("observables")
    if observables is not None:
        found = dict(observables[group].items()) if group in observables else {}
        for name, node in observables.items():
            if isinstance(node, h5py.Dataset) or "value" in node:
                # The group's own has the plain name.
                found["observables." + name if name in found else name] = node
        for name, node in found.items():
            element = Element(node)
            target = OBSERVABLES.get(name)
            if element.origin in ("info", "calc") and not target:
                target = f"{element.origin}.{name}"
            put(target or f"info.{name}", element, False, FACTORS[element.unit])

    if "connectivity" in f and "bonds" in f["connectivity"]:
        bonds = f["connectivity/bonds"]
        reference = bonds.attrs.get("particles_group")
        if reference is None or f[reference].name == f"/particles/{group}":
            # Bonds are between ids, which count from one here; ours are between rows.
            for frame in result:
                frame["connectivity"] = bonds[()] - (1 if "id" in particles else 0)

    unit = text(particles["position/time"].attrs.get("unit")) if position.times is not None else None
    for name, values, factor in (("step", steps, 1), ("time", position.times, FACTORS[unit])):
        if values is not None:
            values = list(values)
            while len(values) < frames:  # written in batches, the last of which is missing: its increment goes on
                values.append(2 * values[-1] - values[-2])
            for k in range(frames):
                result[k][name] = values[k] * factor
    return result

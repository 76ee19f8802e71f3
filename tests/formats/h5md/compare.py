#!/usr/bin/python3
"""Says whether frames that zn-formats read (JSON lines) are what h5py finds in an H5MD file: compare.py FILE GROUP FRAMES.

Written against H5MD's and the dialects' descriptions, not against the reader: it reads everything at once and uses NumPy."""
import json
import sys

import h5py
import numpy as np

LENGTH = {"Angstrom": 1.0, "nm": 10.0}
ENERGY = {"eV": 1.0, "kJ mol-1": 1000 / 1.6021766208e-19 / 6.022140857e23}
TIME = {"fs": 1.0, "ps": 1000.0}
FACTORS = {
    "arrays.positions": LENGTH,
    "cell": LENGTH,
    "calc.energy": ENERGY,
    "calc.forces": {"eV/Angstrom": 1.0, "kJ mol-1 Angstrom-1": ENERGY["kJ mol-1"]},
    "arrays.velocities": {"Angstrom ps-1": 1e-3, "Angstrom/fs": 1.0},
    "time": TIME,
}
PLAIN = {"position": "arrays.positions", "velocity": "arrays.velocities", "force": "calc.forces", "mass": "arrays.masses",
         "charge": "calc.charges", "potential_energy": "calc.energy"}
ASE = {"position": "positions", "velocity": "velocities", "force": "forces", "mass": "masses", "charge": "charges",
       "species": "numbers", "potential_energy": "energy"}


def axis(group, name, rows):
    if name not in group:
        return None
    data = group[name]
    if data.shape == ():
        return data.attrs.get("offset", 0) + data[()] * np.arange(rows)
    return data[()]


def main(path, group_name, frames_path):
    got = [json.loads(line) for line in open(frames_path)]
    f = h5py.File(path, "r")
    creator = f["h5md/creator"].attrs["name"] if "h5md" in f else ""
    creator = creator.decode() if isinstance(creator, bytes) else creator
    ase = creator in ("znh5md", "asebytes")
    g = f["particles"][group_name]
    position = g["position"]
    timed = isinstance(position, h5py.Group)
    count = len(position["value"]) if timed else 1
    steps = axis(position, "step", count) if timed else None
    expected = [{} for _ in range(count)]
    if timed:
        for name in ("step", "time"):
            values = axis(position, name, count)
            if values is None:
                continue
            values = list(values)
            while len(values) < count:  # ZnH5MD, store="time"
                values.append(values[-1] + values[1] - values[0])
            factor = TIME.get(position[name].attrs.get("unit", ""), 1.0) if name == "time" else 1
            for i in range(count):
                expected[i][name] = values[i] * factor

    # How many atoms, and in which order.
    order = [None] * count
    if ase:
        species = g["species/value"][()]
        for i in range(count):
            real = np.flatnonzero(~np.isnan(species[i]))
            order[i] = np.arange(real[-1] + 1 if real.size else 0)
    elif "id" in g:
        for i, ids in enumerate(g["id/value"][()]):
            order[i] = np.argsort(ids, kind="stable")

    def sampled(element):
        """(frame, value) for the frames that have the element."""
        if isinstance(element, h5py.Dataset):
            return [(i, element[()]) for i in range(count)]
        data = element["value"][()]
        own = axis(element, "step", len(data))
        if len(data) == 1 and count > 1 and not ase:
            return [(i, data[0]) for i in range(count)]
        if ase or own is None or steps is None:
            return [(i, data[i]) for i in range(min(count, len(data)))] if ase or len(data) == count else []
        rows = {int(s): r for r, s in enumerate(own)}
        return [(i, data[rows[int(steps[i])]]) for i in range(count) if int(steps[i]) in rows]

    def unit(element):
        data = element if isinstance(element, h5py.Dataset) else element["value"]
        return data.attrs.get("unit", "")

    def put(name, element, atoms):
        text = (element if isinstance(element, h5py.Dataset) else element["value"]).dtype == object
        values = sampled(element)
        floats = not text and np.issubdtype(np.asarray(values[0][1]).dtype if values else int, np.floating)
        # A column that is NaN throughout has a NaN that someone meant.
        hollow = ase and floats and not all(np.isnan(v).all() for _, v in values)
        factor = FACTORS.get(name, {}).get(unit(element), 1.0)
        if creator == "znh5md" and name == "arrays.velocities":
            factor = 0.09822694788464065
        for i, value in values:
            if text:
                if value != b"":
                    expected[i][name] = json.loads(value) if ase else value.decode()
                continue
            value = np.asarray(value)
            if atoms:
                if order[i] is not None and not (isinstance(element, h5py.Dataset) and "id" in g):
                    if len(order[i]) > len(value):
                        continue
                    value = value[order[i]]
                if ase and floats and value.size and np.isnan(value).all():
                    continue
            elif hollow and np.isnan(value).all():
                continue
            elif hollow and value.ndim and np.isnan(value[-1]).all():
                value = value[~np.isnan(value)]
            if name == "cell" and value.ndim == 1:
                value = np.diag(value)
            expected[i][name] = (value.astype(np.float64) * factor).astype(value.dtype) if factor != 1 else value

    for name, element in g.items():
        if name == "box":
            if "edges" in element:
                put("cell", element["edges"], False)
            if "pbc" in element:
                put("pbc", element["pbc"], False)
            elif "boundary" in element.attrs:
                for frame in expected:
                    frame["pbc"] = np.array([b in ("periodic", b"periodic") for b in element.attrs["boundary"]])
            continue
        if isinstance(element, h5py.Group) and "value" not in element:
            continue
        data = element if isinstance(element, h5py.Dataset) else element["value"]
        atoms = data.ndim - (not isinstance(element, h5py.Dataset)) > 0
        origin = element.attrs.get("ASE_ENTRY_ORIGIN")
        if name == "species":
            put("arrays.numbers" if ase or creator == "handmade" else "arrays.type", element, atoms)
        elif origin in ("arrays", "atoms"):
            put("arrays." + ASE.get(name, name), element, atoms)
        elif origin == "calc":
            put("calc." + ASE.get(name, name), element, atoms)
        elif origin == "info":
            put("info." + name, element, False)
        else:
            put(PLAIN.get(name, "arrays." + name), element, atoms)

    def observe(parent, skip):
        for name, element in parent.items():
            if name in skip:
                continue
            if isinstance(element, h5py.Group) and "value" not in element:
                continue
            origin = element.attrs.get("ASE_ENTRY_ORIGIN")
            target = {"calc": "calc." + ASE.get(name, name), "info": "info." + name}.get(origin)
            target = target or PLAIN.get(name, "info." + name)
            if any(target in frame for frame in expected):
                target = "info.observables." + name
            put(target, element, False)

    if "observables" in f:
        if group_name in f["observables"]:
            observe(f["observables"][group_name], ())
        observe(f["observables"], list(f["particles"]))

    problems = []
    if len(got) != count:
        problems.append(f"{len(got)} frames instead of {count}")
    for i, (have, want) in enumerate(zip(got, expected)):
        have.pop("connectivity", None)
        if set(have) != set(want):
            problems.append(f"frame {i}: fields {sorted(set(have) ^ set(want))} on one side only")
            continue
        for name, value in want.items():
            if isinstance(value, (str, dict, list)):
                same = have[name] == value
            else:
                value = np.asarray(value)
                mine = np.asarray(have[name] if have[name] != "NaN" else np.nan)
                exact = value.dtype if value.dtype.kind == "f" else np.float64
                mine, value = mine.astype(exact), value.astype(exact)
                # The last bit of a converted value depends on how the factor was computed.
                same = mine.shape == value.shape and np.allclose(
                    mine, value, rtol=3e-16 if exact == np.float64 else 1.2e-7, atol=0, equal_nan=True)
            if not same:
                problems.append(f"frame {i}: {name}: {have[name]} instead of {value}"[:300])
    for problem in problems[:10]:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

#!/usr/bin/python3
"""Makes the sample trajectories of this folder, with Debian's ASE, NumPy and h5py. See README.md.

    /usr/bin/python3 data/generate.py [--out data]

Nothing is random but what is seeded, and every number is rounded to the digits that are written, so that with the same
Debian packages a second run makes the same bytes.
"""
import argparse
from pathlib import Path

import h5py
import numpy as np
from ase import Atoms, units
from ase.build import add_adsorbate, bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.collections import g2
from ase.constraints import FixAtoms
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet

EMT_ELEMENTS = {"H", "C", "N", "O", "Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"}


def number(value, digits):
    """A fixed-point number without a negative zero."""
    text = f"{value:.{digits}f}"
    return text[1:] if float(text) == 0 and text.startswith("-") else text


def vector(values, digits):
    return " ".join(number(v, digits) for v in np.ravel(values))


def write_frame(out, atoms, columns, info, lattice=True):
    """One extended XYZ frame. columns: name -> (values, digits); info: key -> text ready to write."""
    properties = "species:S:1:pos:R:3"
    table = [("%-2s", atoms.get_chemical_symbols(), None), (None, atoms.positions, 6)]
    for name, (values, digits) in columns.items():
        values = np.asarray(values)
        width = 1 if values.ndim == 1 else values.shape[1]
        kind = "I" if values.dtype.kind == "i" else "R"
        properties += f":{name}:{kind}:{width}"
        table.append((None, values, None if kind == "I" else digits))
    keys = []
    if lattice:
        keys.append(f'Lattice="{vector(atoms.cell.array, 6)}"')
    keys.append("Properties=" + properties)
    keys += [f"{key}={value}" for key, value in info.items()]
    keys.append('pbc="%s"' % " ".join("T" if p else "F" for p in atoms.pbc))
    out.write(f"{len(atoms)}\n{' '.join(keys)}\n")
    for i in range(len(atoms)):
        cells = []
        for form, values, digits in table:
            if form:
                cells.append(form % values[i])
            elif digits is None:
                cells.append(" ".join(str(v) for v in np.ravel(values[i])))
            else:
                cells.append(vector(values[i], digits))
        out.write(" ".join(cells) + "\n")


def alloy_md(path):
    """108 atoms of Cu3Au at 600 K, constant energy, 100 frames 10 fs apart."""
    rng = np.random.RandomState(20261120)
    atoms = bulk("Cu", cubic=True, a=3.75) * (3, 3, 3)
    symbols = np.array(atoms.get_chemical_symbols())
    symbols[0::4] = "Au"
    atoms.set_chemical_symbols(list(symbols))
    atoms.calc = EMT()
    MaxwellBoltzmannDistribution(atoms, temperature_K=1200, rng=rng)
    Stationary(atoms)
    md = VelocityVerlet(atoms, timestep=5 * units.fs)
    with open(path, "w") as out:
        for frame in range(100):
            if frame:
                md.run(2)
            write_frame(out, atoms,
                        {"momenta": (atoms.get_momenta(), 5), "forces": (atoms.get_forces(), 5)},
                        {"energy": number(atoms.get_potential_energy(), 8),
                         "stress": '"%s"' % vector(atoms.get_stress(voigt=False), 9),
                         "time": number(frame * 10.0, 1), "step": str(frame * 2),
                         "temperature": number(atoms.get_temperature(), 4)})


def molecules(path):
    """The G2 set: 162 molecules of 1 to 14 atoms. Energies and forces by EMT where it knows every element: the others
    have none, so that a field is absent from some frames."""
    with open(path, "w") as out:
        for name in g2.names:
            atoms = molecule(name)
            columns, info = {}, {"name": f'"{name}"', "formula": atoms.get_chemical_formula()}
            if atoms.has("initial_magmoms"):
                columns["initial_magmoms"] = (np.asarray(atoms.get_initial_magnetic_moments(), float), 3)
            if set(atoms.get_chemical_symbols()) <= EMT_ELEMENTS:
                atoms.calc = EMT()
                info["energy"] = number(atoms.get_potential_energy(), 8)
                columns["forces"] = (atoms.get_forces(), 6)
            write_frame(out, atoms, columns, info, lattice=False)


def strained_crystal(path):
    """A triclinic cell of 8 Pt atoms under 20 random strains up to 3 %, with all six components of the stress."""
    rng = np.random.RandomState(7)
    with open(path, "w") as out:
        for frame in range(20):
            atoms = bulk("Pt", a=3.92) * (2, 2, 2)
            strain = rng.uniform(-0.03, 0.03, (3, 3))
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
            atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
            atoms.calc = EMT()
            write_frame(out, atoms, {"forces": (atoms.get_forces(), 6)},
                        {"energy": number(atoms.get_potential_energy(), 8),
                         "stress": '"%s"' % vector(atoms.get_stress(voigt=False), 9),
                         "strain": '"%s"' % vector((strain + strain.T) / 2, 6),
                         "config_type": "strained"})


def slab_h5md(path):
    """CO on an Al(111) slab (periodic in two directions), 50 frames of Langevin dynamics as H5MD 1.1 in float32."""
    rng = np.random.RandomState(42)
    slab = fcc111("Al", size=(3, 3, 4), vacuum=8.0)
    add_adsorbate(slab, Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.15]]), 1.9, "ontop")
    slab.pbc = (True, True, False)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() == 4))
    slab.calc = EMT()
    MaxwellBoltzmannDistribution(slab, temperature_K=300, rng=rng)
    md = Langevin(slab, timestep=1 * units.fs, temperature_K=300, friction=0.02, rng=rng)
    rows = {"position": [], "velocity": [], "force": [], "potential_energy": []}
    for frame in range(50):
        if frame:
            md.run(5)
        rows["position"].append(np.round(slab.positions, 5))
        rows["velocity"].append(np.round(slab.get_velocities() * units.fs, 7))  # to Angstrom/fs
        rows["force"].append(np.round(slab.get_forces(apply_constraint=False), 5))
        rows["potential_energy"].append(np.round(slab.get_potential_energy(), 7))

    # Neither times nor the library's version may get into the file, or no two runs would agree.
    plain = {"track_times": False}
    with h5py.File(path, "w", libver="earliest") as f:
        h5md = f.create_group("h5md")
        h5md.attrs["version"] = np.array([1, 1], "i4")
        h5md.create_group("author").attrs["name"] = "ZnStore"
        creator = h5md.create_group("creator")
        creator.attrs["name"] = "data/generate.py"
        creator.attrs["version"] = "1"
        particles = f.create_group("particles/slab")
        box = particles.create_group("box")
        box.attrs["dimension"] = np.int32(3)
        box.attrs["boundary"] = np.array([b"periodic", b"periodic", b"none"])
        edges = box.create_dataset("edges", data=np.round(slab.cell.array, 6), **plain)
        edges.attrs["unit"] = "Angstrom"
        particles.create_dataset("species", data=slab.numbers.astype("i4"), **plain)
        step = np.arange(50, dtype="i4") * 5

        def element(group, name, values, dtype, unit):
            values = np.asarray(values, dtype)
            e = group.create_group(name)
            chunks = (min(10, len(values)),) + values.shape[1:]
            e.create_dataset("value", data=values, chunks=chunks, compression="gzip", compression_opts=6, shuffle=True,
                             maxshape=(None,) + values.shape[1:], **plain).attrs["unit"] = unit
            if "position" in particles and name != "position":
                e["step"], e["time"] = particles["position/step"], particles["position/time"]
            else:
                e.create_dataset("step", data=step, **plain)
                e.create_dataset("time", data=step * 1.0, **plain).attrs["unit"] = "fs"

        element(particles, "position", rows["position"], "f4", "Angstrom")
        element(particles, "velocity", rows["velocity"], "f4", "Angstrom fs-1")
        element(particles, "force", rows["force"], "f4", "eV Angstrom-1")
        element(f.create_group("observables/slab"), "potential_energy", rows["potential_energy"], "f8", "eV")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    alloy_md(out / "alloy_md.xyz")
    molecules(out / "molecules.xyz")
    strained_crystal(out / "strained_crystal.xyz")
    slab_h5md(out / "slab.h5")


if __name__ == "__main__":
    main()

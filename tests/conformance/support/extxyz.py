"""Extended XYZ read for comparison: by a small raw reader written from the format's definition, and by ASE.

Both give a list of frames, {canonical name: value}. Arrays are NumPy's, everything else what JSON would hold.
"""
import bz2
import gzip
import json
import lzma
import re

import ase.io
import numpy as np
from ase.data import atomic_numbers

# formats.md, "Canonical fields": the column or key of a file, and our name.
COLUMNS = {"species": "arrays.numbers", "Z": "arrays.numbers", "pos": "arrays.positions", "momenta": "arrays.momenta",
           "velo": "arrays.velocities", "mass": "arrays.masses", "masses": "arrays.masses", "tags": "arrays.tags",
           "initial_charges": "arrays.initial_charges", "initial_magmoms": "arrays.initial_magmoms",
           "charge": "calc.charges", "magmoms": "calc.magmoms", "forces": "calc.forces", "force": "calc.forces"}
KEYS = {"energy": "calc.energy", "free_energy": "calc.free_energy", "dipole": "calc.dipole"}


def open_text(path):
    with open(path, "rb") as file:
        head = file.read(6)
    if head[:2] == b"\x1f\x8b":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline=None)
    if head[:3] == b"BZh":
        return bz2.open(path, "rt", encoding="utf-8-sig", newline=None)
    if head == b"\xfd7zXZ\x00":
        return lzma.open(path, "rt", encoding="utf-8-sig", newline=None)
    return open(path, encoding="utf-8-sig", newline=None)


def tokens(line):
    """key, value or None, quoted: of a comment line."""
    pattern = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^\s="]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|\{[^}]*\}|\[.*?\](?=\s|$)|\S+))?')
    at = 0
    line = line.rstrip()
    while at < len(line):
        match = pattern.match(line, at)
        if not match:
            raise ValueError(f"cannot read {line[at:at + 40]!r}")
        key, value = match.group(1), match.group(2)
        at = match.end()
        if key.startswith('"'):
            key = unquote(key)
        yield key, value


def unquote(text):
    return re.sub(r"\\(.)", lambda m: "\n" if m.group(1) == "n" else m.group(1), text[1:-1])


def scalar(text):
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?|[+-]?(nan|inf|infinity)", text, re.I):
        return float(re.sub("[dD]", "e", text) if text[-1:].isdigit() else text)
    if text in ("T", "true", "True", "TRUE"):
        return True
    if text in ("F", "false", "False", "FALSE"):
        return False
    return text


def value_of(text):
    """A key's value: a scalar, a NumPy array of numbers or booleans, or text."""
    if text is None:
        return True
    if text.startswith("["):
        raise NotImplementedError("nested lists: see expected.json")
    quoted = text[:1] in '"{'
    if text.startswith("{"):
        text = text[1:-1]
    elif quoted:
        text = unquote(text)
    if text.startswith("_JSON "):
        return json.loads(text[6:])
    parts = [scalar(p) for p in text.split()] if quoted else [scalar(text)]
    if parts and not any(isinstance(p, str) for p in parts):
        if len(parts) == 1:
            return parts[0]
        kinds = {type(p) for p in parts}
        if kinds == {bool} or bool not in kinds:
            return np.array(parts)
    return text


def voigt(values):
    """(6,) as it is, nine as a symmetric tensor's xx yy zz yz xz xy."""
    values = np.asarray(values, float).ravel()
    if values.size == 6:
        return values
    t = values.reshape(3, 3)
    return np.array([t[0, 0], t[1, 1], t[2, 2], (t[1, 2] + t[2, 1]) / 2, (t[0, 2] + t[2, 0]) / 2, (t[0, 1] + t[1, 0]) / 2])


def raw_frames(path):
    frames = []
    with open_text(path) as file:
        lines = file.read().split("\n")
    at = 0
    while at < len(lines) and lines[at].strip():
        n = int(lines[at])
        comment, rows = lines[at + 1], [line.split() for line in lines[at + 2:at + 2 + n]]
        at += 2 + n
        frames.append(raw_frame(comment, rows))
    return frames


def raw_frame(comment, rows):
    n = len(rows)
    keys = dict(tokens(comment)) if "Properties=" in comment else None
    if keys is None:
        frame = {"arrays.numbers": np.array([atomic_numbers[r[0].capitalize()] for r in rows], int),
                 "arrays.positions": np.array([[float(x) for x in r[1:4]] for r in rows]).reshape(n, 3)}
        frame["pbc"] = np.zeros(3, bool)
        if comment.strip():
            frame["info.comment"] = comment.strip()
        return frame
    spec = keys.pop("Properties").strip('"').split(":")
    frame, at = {}, 0
    for name, kind, width in zip(spec[0::3], spec[1::3], map(int, spec[2::3])):
        cells = [r[at:at + width] for r in rows]
        at += width
        kind = kind.upper()
        if name == "species":
            values = np.array([atomic_numbers.get(c[0].capitalize(), 0) for c in cells], int)
        elif kind == "S":
            values = [c[0] if width == 1 else c for c in cells]
        else:
            read = {"R": lambda c: float(re.sub("[dD]", "e", c)), "I": int, "L": lambda c: {"t": True, "true": True, "f": False, "false": False}[c.lower()]}[kind]
            values = np.array([[read(c) for c in row] for row in cells], {"R": float, "I": int, "L": bool}[kind])
            values = values.reshape((n,) if width == 1 else (n, width))
        frame[COLUMNS.get(name, f"arrays.{name}")] = values
    lattice = None
    for key, text in keys.items():
        if key == "Lattice":
            lattice = np.array(value_of(text), float).reshape(3, 3)
            frame["cell"] = lattice
        elif key == "pbc":
            frame["pbc"] = np.array(value_of(text), bool)
        elif key == "stress":
            frame["calc.stress"] = voigt(value_of(text))
        elif key == "virial":  # written column by column, as Lattice is not
            frame["info.virial"] = np.array(value_of(text), float).reshape(3, 3).T
        else:
            frame[KEYS.get(key, f"info.{key}")] = value_of(text)
    if "info.virial" in frame and lattice is not None and "calc.stress" not in frame:
        frame["calc.stress"] = voigt(-frame["info.virial"] / abs(np.linalg.det(lattice)))
    frame.setdefault("pbc", np.array([lattice is not None] * 3))
    return frame


def ase_frames(path):
    """What ASE's reader makes of the file. ASE knows no absence: an all-zero cell means that the frame has none. It reads
    every logical word but T and True as false."""
    frames = []
    # ASE tells compression by the file's ending only.
    with open_text(path) as file:
        images = list(ase.io.iread(file, index=":", format="extxyz"))
    for atoms in images:
        frame = {"arrays.numbers": atoms.numbers, "arrays.positions": atoms.positions, "pbc": atoms.pbc}
        if atoms.cell.array.any():
            frame["cell"] = atoms.cell.array
        results = dict(atoms.calc.results) if atoms.calc else {}
        for name, value in atoms.arrays.items():
            if name not in ("numbers", "positions") and name not in results:
                frame[COLUMNS.get(name, f"arrays.{name}")] = value
        for name, value in atoms.info.items():
            if name not in results:
                frame[KEYS.get(name, f"info.{name}")] = value
        for name, value in results.items():
            frame[f"calc.{name}"] = voigt(value) if name == "stress" else value
        frames.append(frame)
    return frames

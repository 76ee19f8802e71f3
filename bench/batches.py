#!/usr/bin/python3
"""(d) 64 random frames into NumPy in Python: one `columns` request over HTTP against python-lmdb with msgpack_numpy's
encoding in this process (asebytes' layout: one key a frame and field).

Two questions: one field as a list of arrays, and what a training step takes (numbers, positions, cell, energy, forces, joined
over the frames, with their atom counts). Both sides end with the same arrays; that is checked before the clock runs.
"""
import http.client
import random
import statistics
import time

import h5py
import lmdb
import msgpack
import numpy as np

import common as c

BATCH = 64
TRAINING = ("arrays.numbers", "arrays.positions", "cell", "calc.energy", "calc.forces")


def with_labels(path):
    """Adds forces and energies to a file of make_h5md.py, and returns its fields as arrays, one row a frame."""
    with h5py.File(path, "r+") as f:
        position = f["particles/all/position"]
        values = position["value"][()]
        frames, atoms = values.shape[:2]
        rng = np.random.default_rng(1)
        forces = rng.normal(0, 1, values.shape).astype("f4")
        energies = rng.normal(-5 * atoms, 1, frames)
        for group, name, data, unit in (("particles/all", "force", forces, "eV Angstrom-1"),
                                        ("observables/all", "potential_energy", energies, "eV")):
            element = f.require_group(group).create_group(name)
            element.create_dataset("value", data=data).attrs["unit"] = unit
            element["step"], element["time"] = position["step"], position["time"]
        return {"arrays.numbers": np.broadcast_to(f["particles/all/species"][()], (frames, atoms)),
                "arrays.positions": values, "cell": np.broadcast_to(f["particles/all/box/edges"][()], (frames, 3, 3)),
                "calc.energy": energies, "calc.forces": forces}


def write_lmdb(path, fields):
    """fields: name -> one row a frame."""
    frames = len(next(iter(fields.values())))
    size = sum(v[0].nbytes + 8192 for v in fields.values()) * frames + (64 << 20)
    env = lmdb.open(str(path), map_size=size, writemap=True)
    with env.begin(write=True) as txn:
        for name, values in fields.items():
            for i, v in enumerate(values):
                v = np.asarray(v)
                txn.put(f"{i}-{name}".encode(), msgpack.packb(
                    {b"nd": True, b"type": v.dtype.str, b"kind": b"", b"shape": v.shape, b"data": v.tobytes()}))
    env.sync(True)
    env.close()


def decode(obj):
    # msgpack_numpy.decode
    if b"nd" in obj:
        return np.ndarray(buffer=obj[b"data"], dtype=np.dtype(obj[b"type"]), shape=obj[b"shape"])
    return obj


def lmdb_list(env, chosen):
    with env.begin(buffers=True) as txn:
        return [msgpack.unpackb(txn.get(b"%d-arrays.positions" % i), object_hook=decode) for i in chosen]


def lmdb_training(env, chosen):
    rows = {name: [] for name in TRAINING}
    with env.begin(buffers=True) as txn:
        for i in chosen:
            for name in TRAINING:
                rows[name].append(msgpack.unpackb(txn.get(f"{i}-{name}".encode()), object_hook=decode))
    atoms = np.array([len(n) for n in rows["arrays.numbers"]], "<i4")
    joined = {name: (np.stack if name in ("cell", "calc.energy") else np.concatenate)(rows[name]) for name in TRAINING}
    return atoms, joined


def columns(connection, chosen, fields):
    connection.request("GET", f"/api/rooms/r/frames?data={fields}&format=columns&indices=" + ",".join(map(str, chosen)))
    reply = msgpack.unpackb(connection.getresponse().read())
    arrays = {name: np.frombuffer(f["data"], f["dtype"]).reshape(f["shape"]) for name, f in reply["fields"].items()}
    return np.frombuffer(reply["n_atoms"]["data"], "<i4"), arrays


def columns_list(connection, chosen):
    atoms, arrays = columns(connection, chosen, "positions")
    return np.split(arrays["arrays.positions"], np.cumsum(atoms)[:-1])


def columns_training(connection, chosen):
    return columns(connection, chosen, ",".join(TRAINING))


def compare(ours, theirs, connection, env, frames, seconds):
    """Frames a second of both, in turn, and their median milliseconds a request."""
    rng = random.Random(1)
    times = {ours: [], theirs: []}

    def measure(read, source):
        begin, done = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            chosen = rng.choices(range(frames), k=BATCH)
            start = time.perf_counter()
            read(source, chosen)
            times[read].append(time.perf_counter() - start)
            done += BATCH
        return done / (time.perf_counter() - begin)
    measure(ours, connection), measure(theirs, env)  # warm
    for values in times.values():
        values.clear()
    rates = c.in_turn(lambda: measure(ours, connection), lambda: measure(theirs, env))
    return *rates, *(statistics.median(values) * 1e3 for values in times.values())


def check(connection, env, frames):
    chosen = random.Random(2).sample(range(frames), BATCH)
    for a, b in zip(lmdb_list(env, chosen), columns_list(connection, chosen), strict=True):
        np.testing.assert_array_equal(a, b)
    (atoms, ours), (counts, theirs) = columns_training(connection, chosen), lmdb_training(env, chosen)
    np.testing.assert_array_equal(atoms, counts)
    for name in TRAINING:
        np.testing.assert_array_equal(ours[name], theirs[name])


def main():
    folder = c.scratch("batches")
    seconds = 1 if c.QUICK else 3
    c.header("64 random frames into NumPy", "atoms", "what", "zn-server frames/s", "LMDB frames/s", "ratio", "zn p50 ms",
             "LMDB p50 ms")
    for atoms, frames in ((9, 50000), (31, 30000), (200, 10000), (3000, 2000)):
        if c.QUICK:
            frames //= 5
        path = c.h5md(folder / "in.h5", frames, atoms)
        fields = with_labels(path)
        c.import_file(folder / f"store{atoms}", "r", path)
        write_lmdb(folder / f"lmdb{atoms}", fields)
        del fields
        env = lmdb.open(str(folder / f"lmdb{atoms}"), readonly=True, lock=False, readahead=False)
        with c.zn_server(folder / f"store{atoms}") as port:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            check(connection, env, frames)
            for what, ours, theirs in (("positions, a list", columns_list, lmdb_list),
                                       ("five fields, joined", columns_training, lmdb_training)):
                a, b, p50, peer = compare(ours, theirs, connection, env, frames, seconds)
                c.row(atoms, what, f"{a:,.0f}", f"{b:,.0f}", f"{a / b:.2f}", f"{p50:.2f}", f"{peer:.2f}")


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""(d) 64 random frames into NumPy in Python: one `columns` request over HTTP against python-lmdb with msgpack_numpy's
encoding in this process (the layout that asebytes has: one key a frame and field)."""
import http.client
import random
import statistics
import time

import lmdb
import msgpack
import numpy as np

import common as c

BATCH = 64


def write_lmdb(path, values):
    env = lmdb.open(str(path), map_size=len(values) * (values[0].nbytes + 8192) + (64 << 20), writemap=True)
    with env.begin(write=True) as txn:
        for i, v in enumerate(values):
            txn.put(b"%d-arrays.positions" % i, msgpack.packb(
                {b"nd": True, b"type": v.dtype.str, b"kind": b"", b"shape": v.shape, b"data": v.tobytes()}))
    env.sync(True)
    env.close()


def decode(obj):
    # msgpack_numpy.decode
    if b"nd" in obj:
        return np.ndarray(buffer=obj[b"data"], dtype=np.dtype(obj[b"type"]), shape=obj[b"shape"])
    return obj


def read_lmdb(env, chosen):
    with env.begin(buffers=True) as txn:
        return [msgpack.unpackb(txn.get(b"%d-arrays.positions" % i), object_hook=decode) for i in chosen]


def read_columns(connection, chosen):
    connection.request("GET", "/api/rooms/r/frames?data=positions&format=columns&indices=" + ",".join(map(str, chosen)))
    reply = msgpack.unpackb(connection.getresponse().read())
    counts = np.frombuffer(reply["n_atoms"]["data"], "<i4")
    field = reply["fields"]["arrays.positions"]
    joined = np.frombuffer(field["data"], field["dtype"]).reshape(field["shape"])
    return np.split(joined, np.cumsum(counts)[:-1])


def main():
    folder = c.scratch("batches")
    seconds = 2 if c.QUICK else 4
    c.header("64 random frames into NumPy", "atoms", "zn-server frames/s", "LMDB frames/s", "ratio", "zn p50 ms", "LMDB p50 ms")
    for atoms, frames in ((9, 100000), (31, 50000), (200, 20000), (3000, 4000)):
        if c.QUICK:
            frames //= 5
        path = c.h5md(folder / "in.h5", frames, atoms)
        c.import_file(folder / f"store{atoms}", "r", path)
        import h5py
        with h5py.File(path) as f:
            write_lmdb(folder / f"lmdb{atoms}", f["particles/all/position/value"][()])
        env = lmdb.open(str(folder / f"lmdb{atoms}"), readonly=True, lock=False, readahead=False)
        with c.zn_server(folder / f"store{atoms}") as port:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            rng = random.Random(1)
            check = rng.sample(range(frames), BATCH)
            for a, b in zip(read_lmdb(env, check), read_columns(connection, check)):
                np.testing.assert_array_equal(a, b)
            times = {}

            def measure(name, read):
                begin, done = time.perf_counter(), 0
                while time.perf_counter() - begin < seconds:
                    chosen = rng.choices(range(frames), k=BATCH)
                    start = time.perf_counter()
                    read(chosen)
                    times.setdefault(name, []).append(time.perf_counter() - start)
                    done += BATCH
                return done / (time.perf_counter() - begin)
            for read in (lambda ch: read_columns(connection, ch), lambda ch: read_lmdb(env, ch)):
                measure("warm", read)
            ours, theirs = c.in_turn(lambda: measure("zn", lambda ch: read_columns(connection, ch)),
                                     lambda: measure("lmdb", lambda ch: read_lmdb(env, ch)))
            c.row(atoms, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}",
                  f"{statistics.median(times['zn']) * 1e3:.2f}", f"{statistics.median(times['lmdb']) * 1e3:.2f}")


if __name__ == "__main__":
    main()

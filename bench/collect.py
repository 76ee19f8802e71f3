#!/usr/bin/python3
"""(q) Reads and durable edits while the server collects: a store two thirds of which were deleted, served with and without its
background collection. The peer is the same server in the same minute with --collect-rate 0."""
import http.client
import json
import os
import shutil
import time

import common as c
import http_edits
import numpy as np

ROOMS, FRAMES, ATOMS = (60 if c.QUICK else 360), 2, 80_000
EDITED_FRAMES, EDITED_ATOMS = 1000, 20
RATES = ("0", "32MB", "128MB", "1GB")


def post(connection, method, path, body, content_type, headers=None):
    connection.request(method, path, body, {"Content-Type": content_type, **(headers or {})})
    reply = connection.getresponse()
    text = reply.read()
    if reply.status >= 300:
        raise SystemExit(f"{method} {path}: {reply.status} {text[:200]!r}")
    return text


def admin_of(connection):
    """The header of an admin, who alone deletes rooms."""
    body = json.dumps({"username": os.environ["ZNDRAW_ADMIN_USERNAME"], "password": os.environ["ZNDRAW_ADMIN_PASSWORD"]})
    token = json.loads(post(connection, "POST", "/api/login", body, "application/json"))["token"]
    return {"Authorization": f"Bearer {token}"}


def populate(folder):
    """Rooms side by side in the same packs, of which two thirds are deleted."""
    import msgpack
    store = folder / "store"
    os.environ.update(ZNDRAW_ADMIN_USERNAME="admin", ZNDRAW_ADMIN_PASSWORD="bench")
    c.import_file(store, "r", c.h5md(folder / "r.h5", EDITED_FRAMES, EDITED_ATOMS))
    random = np.random.default_rng(1)
    with c.zn_server(store, "--collect-rate", "0") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for i in range(ROOMS):
            values = random.random((FRAMES, ATOMS, 3), np.float32)
            frames = [{"positions": {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [ATOMS, 3], b"data": v.tobytes()}}
                      for v in values]
            post(connection, "POST", "/api/rooms", json.dumps({"id": f"x{i}"}), "application/json")
            post(connection, "POST", f"/api/rooms/x{i}/frames", msgpack.packb(frames), "application/msgpack")
        admin = admin_of(connection)
        for i in range(ROOMS):
            if i % 3:
                post(connection, "DELETE", f"/api/rooms/x{i}", None, "application/json", admin)
    return store


def metric(port, name):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    for line in connection.getresponse().read().decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return 0.0


def collecting(port):
    """Waits until a collection is at work."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if metric(port, "zn_collecting") or metric(port, "zn_collections_total"):
            return
        time.sleep(0.02)


def main():
    seconds = 2 if c.QUICK else 4
    folder = c.scratch("collect")
    full = populate(folder)
    path = "/api/rooms/r/frames/{}?data=positions&format=npy"
    c.header("Reads and durable edits during a collection", "rate", "reads/s", "p99 ms", "edits/s of 64", "p50 ms", "p99 ms",
             "still at work", "copied MB", "given back MB")
    for rate in RATES:
        store = folder / "copy"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(full, store)
        with c.zn_server(store, "--collect-rate", rate, "--collect-every", "1") as port:
            http_edits.edits(port, 1, 1)  # something has changed: a collection is due
            if rate != "0":
                collecting(port)
            reads, read_p99 = c.wrk(port, path, EDITED_FRAMES, 32, seconds)
            edits, p50, p99 = http_edits.edits(port, 64, seconds)
            still = "yes" if metric(port, "zn_collecting") else "no"
            if rate != "0":
                deadline = time.monotonic() + 120
                while metric(port, "zn_collected_bytes_total") == 0 and time.monotonic() < deadline:
                    time.sleep(0.1)
            copied, freed = metric(port, "zn_collection_copied_bytes_total"), metric(port, "zn_collected_bytes_total")
            c.row(rate, f"{reads:,.0f}", f"{read_p99:.2f}", f"{edits:,.0f}", f"{p50:.2f}", f"{p99:.2f}", still,
                  f"{copied / 1e6:,.0f}", f"{freed / 1e6:,.0f}")


if __name__ == "__main__":
    main()

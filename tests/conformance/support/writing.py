"""What the tests of writing share: bodies as clients pack them, and a server with an admin."""
import json
import os
import uuid

import msgpack
import numpy as np

from support.zn import Server, StoreCase

COLUMNS = "application/vnd.zn.columns+msgpack"


def pack_array(array, keys=bytes):
    """As msgpack_numpy packs it, with bytes keys (its own) or str keys (JavaScript's)."""
    key = str.encode if keys is bytes else str
    array = np.asarray(array)
    if array.ndim == 0:
        return {key("nd"): False, key("type"): array.dtype.str, key("data"): array.tobytes()}
    return {key("nd"): True, key("type"): array.dtype.str, key("kind"): b"", key("shape"): list(array.shape),
            key("data"): array.tobytes()}


def pack(value, **options):
    def walk(item):
        if isinstance(item, (np.ndarray, np.generic)):
            return pack_array(item)
        if isinstance(item, dict):
            return {key: walk(v) for key, v in item.items()}
        return [walk(v) for v in item] if isinstance(item, list) else item
    return msgpack.packb(walk(value), **options)


def pack_columns(frames, ids=None, versions=None):
    """Frames (maps of per-atom arrays, all with the same fields) as a columns body."""
    def array(a):
        a = np.ascontiguousarray(a)
        return {"dtype": a.dtype.str, "shape": list(a.shape), "data": a.tobytes()}
    counts = [len(next(iter(frame.values()))) for frame in frames]
    body = {"n_frames": len(frames), "n_atoms": array(np.array(counts, "<i4")), "fields": {}}
    for name in frames[0]:
        body["fields"][name] = {"kind": "atom", "present": None, **array(np.concatenate([f[name] for f in frames]))}
    if ids is not None:
        body["ids"] = array(np.array(ids, "<i8"))
    if versions is not None:
        body["versions"] = array(np.array(versions, "<i8"))
    return msgpack.packb(body)


def molecule(n, seed=0, **more):
    rng = np.random.default_rng([n, seed])
    return {"positions": rng.normal(size=(n, 3)).astype("<f4"), "species": rng.integers(1, 20, n), **more}


ADMIN_ENV = dict(os.environ, ZNDRAW_ADMIN_USERNAME="admin", ZNDRAW_ADMIN_PASSWORD="secret")


def admin_of(server):
    """The header of an admin of a server that runs with ADMIN_ENV."""
    reply = server.request("POST", "/api/login", b'{"username": "admin", "password": "secret"}', {"Content-Type": "application/json"})
    assert reply.status == 200, reply.body
    return {"Authorization": "Bearer " + reply.json()["token"]}


class WriteCase(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start()

    @classmethod
    def start(cls):
        cls.server = Server(cls.store, "--create", env=ADMIN_ENV)
        cls.admin = admin_of(cls.server)

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0
        super().tearDownClass()

    def send(self, method, path, body=None, status=None, kind="application/msgpack", client=None, **headers):
        if body is not None and not isinstance(body, bytes):
            body, kind = json.dumps(body).encode(), "application/json"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            headers["Content-Type"] = kind
        reply = (client or self.server).request(method, path, body, headers)
        if status is not None:
            self.assertEqual(reply.status, status, f"{method} {path}: {reply.body[:400]!r}")
        if 200 <= reply.status < 300 and method in ("POST", "PUT", "PATCH") and "/frames" in path:
            self.assertIn("Zn-Commit", reply.headers, path)
            self.assertRegex(reply.headers["Zn-Position"], r"^\d+:\d+$")
        if reply.status >= 400:
            problem = reply.json()
            self.assertEqual(problem["status"], reply.status)
            self.assertEqual(reply.headers["Content-Type"], "application/problem+json")
            for member in ("type", "title", "detail", "instance"):
                self.assertIn(member, problem)
        return reply

    def new_room(self, frames=None):
        name = "r" + uuid.uuid4().hex[:12]
        self.send("POST", "/api/rooms", {"id": name}, 201)
        path = f"/api/rooms/{name}"
        if frames is not None:
            self.send("POST", f"{path}/frames", pack(frames), 201)
        return path

    def frame(self, path, i, **query):
        text = "&".join(f"{k}={v}" for k, v in query.items())
        reply = self.server.get(f"{path}/frames/{i}?{text}")
        self.assertEqual(reply.status, 200, reply.body)
        return reply.frame()

    def meta(self, path):
        return self.server.get(f"{path}/frames/meta").json()

    def assert_frame(self, path, i, expected):
        got = self.frame(path, i)
        self.assertEqual(set(got), {{"positions": "arrays.positions", "species": "arrays.numbers"}.get(k, k) for k in expected})
        for name, value in expected.items():
            name = {"positions": "arrays.positions", "species": "arrays.numbers"}.get(name, name)
            np.testing.assert_array_equal(got[name], value)

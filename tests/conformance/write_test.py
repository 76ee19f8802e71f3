"""Writing over HTTP, rule by rule of the contract, by a client that shares no code with the server."""
import base64
import hashlib
import io
import json
import os
import threading
import unittest
import uuid

import msgpack
import numpy as np

from support.zn import Client, Server, StoreCase

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


class WriteCase(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.start()

    @classmethod
    def start(cls):
        env = dict(os.environ, ZNDRAW_ADMIN_USERNAME="admin", ZNDRAW_ADMIN_PASSWORD="secret")
        cls.server = Server(cls.store, "--create", env=env)
        reply = cls.server.request("POST", "/api/login", b'{"username": "admin", "password": "secret"}',
                                   {"Content-Type": "application/json"})
        assert reply.status == 200, reply.body
        cls.admin = {"Authorization": "Bearer " + reply.json()["token"]}

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


class Bodies(WriteCase):
    def test_msgpack_with_either_kind_of_key(self):
        path = self.new_room()
        frames = [molecule(3), molecule(5, **{"calc.energy": np.float64(-1.25)})]
        reply = self.send("POST", f"{path}/frames", pack(frames), 201).json()
        self.assertEqual((reply["indices"], reply["ids"], reply["versions"]), ([0, 1], [0, 1], [1, 1]))
        text_keys = [{k: pack_array(v, str) for k, v in frame.items()} for frame in frames]
        self.send("POST", f"{path}/frames", msgpack.packb(text_keys), 201)
        # The old raw format: everything is raw bytes.
        raw = [{k.encode(): pack_array(v) for k, v in frame.items()} for frame in frames]
        self.send("POST", f"{path}/frames", msgpack.packb(raw, use_bin_type=False), 201)
        for i in range(6):
            self.assert_frame(path, i, frames[i % 2])
        hashes = [m["hash"] for m in self.meta(path)]
        self.assertEqual(hashes[:2], hashes[2:4])
        self.assertEqual(hashes[:2], hashes[4:])

    def test_columns(self):
        path = self.new_room()
        frames = [molecule(n) for n in (4, 0, 7)]
        self.send("POST", f"{path}/frames", pack_columns(frames), 201, COLUMNS)
        for i, frame in enumerate(frames):
            self.assert_frame(path, i, frame)
        # What a room says about itself has no place in new frames.
        self.send("POST", f"{path}/frames", pack_columns(frames, ids=[1, 2, 3]), 400, COLUMNS)

    def test_json(self):
        path = self.new_room()
        self.send("POST", f"{path}/frames", [{"positions": [[0, 0, 0.5], [1, 2, 3]], "species": ["O", "H"], "energy": -1.5,
                                              "info.note": {"a": [1, None]}}, {"positions": [[1, 1, 1]], "energy": "NaN"}], 201)
        first, second = self.frame(path, 0), self.frame(path, 1)
        np.testing.assert_array_equal(first["arrays.numbers"], [8, 1])
        self.assertEqual(first["arrays.positions"].dtype, np.float64)
        self.assertEqual(first["info.note"], {"a": [1, None]})
        self.assertTrue(np.isnan(second["calc.energy"]))

    def test_one_npy_field(self):
        path = self.new_room()
        array = np.arange(24, dtype="<f4").reshape(2, 4, 3)
        for data in (array, np.asfortranarray(array)):
            npy = io.BytesIO()
            np.save(npy, data)
            self.send("POST", f"{path}/frames?data=positions", npy.getvalue(), 201, "application/x-npy")
        np.testing.assert_array_equal(self.frame(path, 3)["arrays.positions"], array[1])
        npy = io.BytesIO()
        np.save(npy, array[0] + 1)
        self.send("PATCH", f"{path}/frames/1?data=positions&base_version=1", npy.getvalue(), 200, "application/x-npy")
        np.testing.assert_array_equal(self.frame(path, 1)["arrays.positions"], array[0] + 1)
        self.send("POST", f"{path}/frames", npy.getvalue(), 400, "application/x-npy")  # which field?

    def test_what_is_read_can_be_written_back(self):
        path = self.new_room([molecule(4, **{"calc.energy": np.float32(0.1), "info.tag": "x"}), molecule(2)])
        before = self.meta(path)
        for form, kind in (("json", "application/json"), ("msgpack", "application/msgpack")):
            for i in (0, 1):
                body = self.server.get(f"{path}/frames/{i}?format={form}").body
                reply = self.send("PUT", f"{path}/frames/{i}?base_version=1", body, 200, kind).json()
                self.assertFalse(reply["changed"], form)
        self.assertEqual(self.meta(path), before)

    def test_refused_bodies(self):
        path = self.new_room([molecule(2)])
        post = f"{path}/frames"
        self.send("POST", post, b"\xc1", 400)
        self.send("POST", post, b"", 400)
        self.send("POST", post, b"<xml/>", 415, "text/xml")
        self.send("POST", post, pack([{"positions": np.zeros((2, 3)), "species": np.zeros(3, int)}]), 400)
        self.send("POST", post, pack([{"positions": np.zeros((2, 4), "<f4")}]), 422)
        self.send("POST", post, pack([{"positions": np.full((1, 3), 0.1)}]), 422)  # float64 into float32
        self.send("POST", post + "?cast=true", pack([{"positions": np.full((1, 3), 0.1)}]), 201)
        self.send("POST", post, [{"positions": [[0.1, 0.2, 0.3]]}], 201)  # decimals are read as the field's
        self.send("POST", post, [{"positions": [[0.123456789012345, 0, 0]]}], 422)
        self.send("POST", post + "?befor=1", pack([molecule(1)]), 400)
        self.send("POST", "/api/rooms/nowhere/frames", pack([molecule(1)]), 404)
        good, digest = pack([molecule(1)]), lambda b: f"sha-256=:{base64.b64encode(hashlib.sha256(b).digest()).decode()}:"
        self.send("POST", post, good, 201, Content_Digest=digest(good))
        self.send("POST", post, good, 422, Content_Digest=digest(b"another"))
        self.send("POST", post, good, 400, Content_Digest="sha-256=:short:")

    def test_all_or_nothing(self):
        path = self.new_room([molecule(2)])
        commit = self.server.get(path).json()["commit"]
        self.send("POST", f"{path}/frames", pack([molecule(1)] * 50 + [{"positions": np.zeros(3)}]), 422)
        self.assertEqual(self.server.get(path).json()["commit"], commit)

    def test_long_bodies_are_one_commit(self):
        path = self.new_room()
        frames = [molecule(200, i) for i in range(3000)]
        body = pack(frames)
        self.assertGreater(len(body), 11 << 20)
        reply = self.send("POST", f"{path}/frames", body, 201).json()
        self.assertEqual(reply["indices"], list(range(3000)))
        self.assertEqual(len(self.server.get(f"{path}/commits").json()), 2)
        for i in (0, 1, 1500, 2999):
            self.assert_frame(path, i, frames[i])
        reply = self.send("POST", f"{path}/frames?before=1", body, 201).json()
        self.assertEqual(reply["indices"][0], 1)
        self.assert_frame(path, 2, frames[1])
        self.assert_frame(path, 3001, frames[1])


class Places(WriteCase):
    def test_insert(self):
        path = self.new_room([molecule(n) for n in (1, 2, 3)])
        self.assertEqual(self.send("POST", f"{path}/frames?before=1", pack(molecule(9)), 201).json()["indices"], [1])
        self.assertEqual(self.send("POST", f"{path}/frames?before=4", pack(molecule(8)), 201).json()["indices"], [4])
        for before in ("-1", "6", "x"):
            self.send("POST", f"{path}/frames?before={before}", pack(molecule(1)), 400)
        reply = self.send("POST", f"{path}/frames?before=id:2", pack([molecule(6), molecule(7)]), 201).json()
        self.assertEqual(reply["indices"], [3, 4])
        self.assertEqual([m["id"] for m in self.meta(path)], [0, 3, 1, 5, 6, 2, 4])
        self.send("POST", f"{path}/frames?before=id:99", pack(molecule(1)), 404)

    def test_base_commit(self):
        path = self.new_room([molecule(1)])
        commit = self.server.get(path).json()["commit"]
        self.send("POST", f"{path}/frames?before=0&base_commit={commit}", pack(molecule(2)), 201)
        stale = self.send("POST", f"{path}/frames?before=0&base_commit={commit}", pack(molecule(3)), 409)
        self.assertEqual(stale.json()["latest"]["commit"], self.server.get(path).json()["commit"])
        self.send("POST", f"{path}/frames?base_commit=nonsense", pack(molecule(3)), 400)

    def test_copy(self):
        source = self.new_room([molecule(n) for n in (1, 2, 3, 4)])
        commit = self.server.get(source).json()["commit"]
        self.send("PATCH", f"{source}/frames/1?base_version=1", {"delta": {"species": [7, 7]}}, 200)
        path = self.new_room([molecule(5)])
        name = source.rsplit("/", 1)[1]
        reply = self.send("POST", f"{path}/frames", {"copy_from": f"{name}@{commit}", "indices": [3, 1], "before": 0}, 201)
        self.assertEqual(reply.json()["indices"], [0, 1])
        self.assert_frame(path, 0, molecule(4))
        self.assert_frame(path, 1, molecule(2))
        self.send("POST", f"{path}/frames", {"copy_from": name, "indices": "1:2"}, 201)
        np.testing.assert_array_equal(self.frame(path, 3)["arrays.numbers"], [7, 7])
        self.send("POST", f"{path}/frames", {"copy_from": name, "indices": [9]}, 404)
        self.send("POST", f"{path}/frames", {"copy_from": name, "indices": [-1]}, 400)
        self.send("POST", f"{path}/frames", {"copy_from": name, "indices": [1, 1]}, 400)
        self.send("POST", f"{path}/frames", {"copy_from": "nowhere", "indices": [1]}, 404)
        self.send("POST", f"{path}/frames", {"copy_from": f"{name}@1-0000000000000000", "indices": [1]}, 404)


class Conflicts(WriteCase):
    def test_a_base_is_needed(self):
        path = self.new_room([molecule(2)])
        for method, body in (("PUT", pack(molecule(2, 1))), ("PATCH", pack({"delta": {"species": [1, 1]}})), ("DELETE", None)):
            self.send(method, f"{path}/frames/0", body, 428)
        self.send("PUT", f"{path}/frames/7", pack(molecule(2, 1)), 404)
        self.send("PUT", f"{path}/frames/-1?base_version=1", pack(molecule(2, 1)), 400)

    def test_if_match_and_base_version(self):
        path = self.new_room([molecule(2)])
        etag = self.server.get(f"{path}/frames/0").headers["ETag"]
        self.send("PUT", f"{path}/frames/0", pack(molecule(2, 1)), 200, If_Match=etag)
        self.send("PUT", f"{path}/frames/0", pack(molecule(2, 2)), 200, If_Match='"0.2"')
        stale = self.send("PUT", f"{path}/frames/0", pack(molecule(2, 3)), 412, If_Match=etag).json()
        self.assertEqual((stale["latest"]["frame"], stale["latest"]["id"], stale["latest"]["version"]), (0, 0, 3))
        self.assertEqual(stale["latest"]["hash"], self.meta(path)[0]["hash"])
        stale = self.send("PUT", f"{path}/frames/0?base_version=2", pack(molecule(2, 3)), 409).json()
        self.assertTrue(stale["type"].endswith("conflict"))
        self.assertEqual(stale["latest"]["version"], 3)
        body = pack({"delta": {"species": [5, 5]}, "base_version": 2})
        self.send("PATCH", f"{path}/frames/0", body, 409)
        self.send("PATCH", f"{path}/frames/0", pack({"delta": {"species": [5, 5]}, "base_version": 3}), 200)
        self.send("PUT", f"{path}/frames/0", pack(molecule(2, 9)), 412, If_Match='"1.4"')  # another frame
        self.send("PUT", f"{path}/frames/0", pack(molecule(2, 9)), 412, If_Match='"00000000deadbeef.0.4"')  # another room
        self.send("PUT", f"{path}/frames/0", pack(molecule(2, 9)), 412, If_Match='garbage')
        self.send("PUT", f"{path}/frames/0", pack(molecule(2, 9)), 200, If_Match='"7.1", "0.4"')
        self.send("PUT", f"{path}/frames/0?base_version=0", pack(molecule(2, 9)), 400)

    def test_an_index_that_shifted_needs_the_id(self):
        path = self.new_room([molecule(n) for n in (1, 2, 3)])
        self.send("POST", f"{path}/frames?before=1", pack(molecule(4)), 201)
        edit = pack({"delta": {"info.x": 1}})
        self.send("PATCH", f"{path}/frames/0?base_version=1", edit, 200)
        self.send("PATCH", f"{path}/frames/2?base_version=1", edit, 428)
        self.send("PATCH", f"{path}/frames/2?base_version=1&frame_id=2", edit, 409)  # frame 2 is at 3 now
        self.send("PATCH", f"{path}/frames/2?base_version=1&frame_id=1", edit, 200)
        self.send("PATCH", f"{path}/frames/id:2?base_version=1", edit, 200)

    def test_a_retry_is_no_conflict_and_no_change_is_no_version(self):
        path = self.new_room([molecule(2)])
        body = pack(molecule(2, 1))
        first = self.send("PUT", f"{path}/frames/0?base_version=1", body, 200).json()
        again = self.send("PUT", f"{path}/frames/0?base_version=1", body, 200).json()
        self.assertEqual((first["version"], again["version"], again["changed"]), (2, 2, False))
        commits = len(self.server.get(f"{path}/commits").json())
        self.send("PATCH", f"{path}/frames/0?base_version=2", pack({"delta": {"positions": molecule(2, 1)["positions"]}}), 200)
        self.assertEqual(len(self.server.get(f"{path}/commits").json()), commits)

    def test_one_of_many_writers_wins(self):
        path = self.new_room([molecule(1)])
        codes = []
        def write(k):
            client = Client(self.server.port)
            codes.append(client.request("PUT", f"{path}/frames/0?base_version=1", pack(molecule(1, k + 1)),
                                        {"Content-Type": "application/msgpack"}).status)
            client.close()
        threads = [threading.Thread(target=write, args=(k,)) for k in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(codes), [200] + [409] * 11)
        self.assertEqual(self.meta(path)[0]["version"], 2)


class Edits(WriteCase):
    def test_put_drops_what_is_not_given(self):
        path = self.new_room([molecule(2, **{"calc.energy": np.float64(1)})])
        self.send("PUT", f"{path}/frames/0?base_version=1", pack(molecule(3)), 200)
        self.assert_frame(path, 0, molecule(3))

    def test_patch_fields_atoms_and_removal(self):
        frame = molecule(4, **{"calc.energy": np.float64(1)})
        path = self.new_room([frame, molecule(2)])
        values = np.array([[1, 2, 3], [4, 5, 6]], "<f4")
        self.send("PATCH", f"{path}/frames/0", pack({"delta": {"positions": {"atoms": [3, 0], "values": values},
                                                              "energy": None, "info.new": "n"}, "base_version": 1}), 200)
        got = self.frame(path, 0)
        expected = frame["positions"].copy()
        expected[[3, 0]] = values
        np.testing.assert_array_equal(got["arrays.positions"], expected)
        self.assertEqual(set(got), {"arrays.positions", "arrays.numbers", "info.new"})
        for bad, status in (({"positions": {"atoms": [4], "values": values[:1]}}, 400), ({"positions": {"atoms": [1, 1], "values": values}}, 400),
                            ({"positions": {"atoms": [-1], "values": values[:1]}}, 400), ({"positions": {"atoms": [1, 2], "values": values[:1]}}, 400),
                            ({"info.new": {"atoms": [0], "values": ["x"]}}, 400), ({"species": np.zeros(3, int)}, 400),
                            ({"nothing": None}, 404), ({"positions": np.zeros((4, 3))}, 200)):
            self.send("PATCH", f"{path}/frames/0", pack({"delta": bad, "base_version": 2}), status)
        self.send("PATCH", f"{path}/frames/0", {"wrong": {}}, 400)

    def test_an_edit_writes_only_what_changed(self):
        path = self.new_room([molecule(100, i) for i in range(64)])
        def bytes_written():
            for line in self.server.get("/metrics").body.decode().splitlines():
                if line.startswith("zn_store_log_written_bytes"):
                    return int(line.split()[1])
            self.fail("no metric of the log's bytes")
        before = bytes_written()
        self.send("PATCH", f"{path}/frames/5", pack({"delta": {"positions": molecule(100, 99)["positions"]}, "base_version": 1}), 200)
        self.assertLess(bytes_written() - before, 1200 + 8192)
        versions = self.server.get(f"{path}/frames/5/versions").json()
        self.assertEqual(versions[0]["fields"], ["arrays.positions"])

    def test_patch_many(self):
        path = self.new_room([molecule(n) for n in (1, 2, 3)])
        edits = [{"positions": np.full((n, 3), 7, "<f4")} for n in (1, 3)]
        reply = self.send("PATCH", f"{path}/frames", pack_columns(edits, [0, 2], [1, 1]), 200, COLUMNS).json()
        self.assertEqual(reply["versions"], [2, 2])
        self.assertEqual([m["version"] for m in self.meta(path)], [2, 1, 2])
        edits = [{"positions": np.full((n, 3), 8, "<f4")} for n in (1, 2, 3)]
        stale = self.send("PATCH", f"{path}/frames", pack_columns(edits, [0, 1, 2], [1, 1, 1]), 409, COLUMNS).json()
        self.assertEqual([(f["id"], f["version"]) for f in stale["latest"]], [(0, 2), (2, 2)])
        self.assertEqual([m["version"] for m in self.meta(path)], [2, 1, 2])
        self.send("PATCH", f"{path}/frames", pack_columns(edits, [0, 1, 2]), 428, COLUMNS)
        self.send("PATCH", f"{path}/frames", pack_columns(edits), 400, COLUMNS)
        self.send("PATCH", f"{path}/frames", pack_columns(edits, [0, 1, 1], [2, 1, 1]), 400, COLUMNS)
        self.send("PATCH", f"{path}/frames", pack_columns(edits, [0, 1, 77], [2, 1, 1]), 404, COLUMNS)
        self.send("PATCH", f"{path}/frames", pack_columns(edits[:2], [0, 2], [2, 2]), 400, COLUMNS)  # 2 atoms for 3

    def test_any_version_is_no_conflict(self):
        """If-Match: * takes whatever there is, also what comes between the server's looking at a frame and its commit."""
        clients, each = 8, 25
        path = self.new_room([{"positions": np.zeros((clients, 3), "<f4")}])
        answers = []

        def edit(n):
            client = Client(self.server.port)
            for k in range(1, each + 1):
                row = np.full((1, 3), k, "<f4")
                delta = {"positions": {"atoms": [n], "values": row}} if k % 2 else {f"info.of_{n}": float(k)}
                reply = client.request("PATCH", f"{path}/frames/0", pack({"delta": delta}),
                                       {"Content-Type": "application/msgpack", "If-Match": "*"})
                answers.append((reply.status, reply.json().get("version"), reply.body))
            client.close()

        threads = [threading.Thread(target=edit, args=(n,)) for n in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({status for status, _, _ in answers}, {200}, [body for status, _, body in answers if status != 200][:3])
        self.assertEqual(sorted(version for _, version, _ in answers), list(range(2, clients * each + 2)))
        frame = self.frame(path, 0)
        np.testing.assert_array_equal(frame["arrays.positions"], np.full((clients, 3), each, "<f4"))  # nobody's atom is lost
        self.assertEqual([frame[f"info.of_{n}"] for n in range(clients)], [each - 1.0] * clients)

    def test_delete(self):
        path = self.new_room([molecule(n) for n in range(6)])
        self.send("DELETE", f"{path}/frames/1?base_version=2", None, 409)
        self.send("DELETE", f"{path}/frames/1?base_version=1", None, 200)
        self.send("DELETE", f"{path}/frames", None, 400)
        self.send("DELETE", f"{path}/frames?indices=0:2", None, 428)
        commit = self.server.get(path).json()["commit"]
        for bad in ("-1", "0,0", "0:3,2"):
            self.send("DELETE", f"{path}/frames?indices={bad}&base_commit={commit}", None, 400)
        reply = self.send("DELETE", f"{path}/frames?indices=0,2:4&base_commit={commit}", None, 200).json()
        self.assertEqual((reply["ids"], reply["frameCount"]), ([0, 3, 4], 2))
        self.send("DELETE", f"{path}/frames?indices=0&base_commit={commit}", None, 409)
        self.assertEqual([m["id"] for m in self.meta(path)], [2, 5])
        self.send("DELETE", f"{path}/frames/id:3?base_version=1", None, 404)

    def test_undo_redo(self):
        path = self.new_room([molecule(2)])
        for k in (1, 2, 3):
            self.send("PUT", f"{path}/frames/0?base_version={k}", pack(molecule(2, k)), 200)
        self.assertEqual(self.send("POST", f"{path}/frames/0/undo", None, 200).json()["version"], 5)
        self.assert_frame(path, 0, molecule(2, 2))
        self.send("POST", f"{path}/frames/0/undo", None, 200)
        self.assert_frame(path, 0, molecule(2, 1))
        self.send("POST", f"{path}/frames/0/redo", None, 200)
        self.assert_frame(path, 0, molecule(2, 2))
        self.send("PUT", f"{path}/frames/0?base_version=7", pack(molecule(2, 9)), 200)
        self.send("POST", f"{path}/frames/0/redo", None, 409)  # a new edit cleared it
        self.send("POST", f"{path}/frames/0/undo", None, 412, If_Match='"0.3"')
        for _ in range(3):
            self.send("POST", f"{path}/frames/0/undo", None, 200)
        self.assert_frame(path, 0, molecule(2))
        self.send("POST", f"{path}/frames/0/undo", None, 409)
        versions = self.server.get(f"{path}/frames/0/versions").json()
        self.assertEqual([v["version"] for v in versions], list(range(11, 0, -1)))
        self.assertEqual(versions[0]["operation"], "undo")
        np.testing.assert_array_equal(self.frame(path, 0, version=4)["arrays.positions"], molecule(2, 3)["positions"])

    def test_restore(self):
        path = self.new_room([molecule(n) for n in (1, 2, 3)])
        commit = self.server.get(path).json()["commit"]
        self.send("PUT", f"{path}/frames/0?base_version=1", pack(molecule(1, 5)), 200)
        self.send("DELETE", f"{path}/frames/2?base_version=1", None, 200)
        now = self.server.get(path).json()["commit"]
        self.send("POST", f"{path}/restore", {"commit": commit, "base_commit": commit}, 409)
        self.send("POST", f"{path}/restore", {"commit": commit, "base_commit": now}, 200)
        self.assertEqual([(m["id"], m["version"]) for m in self.meta(path)], [(0, 3), (1, 1), (2, 1)])
        self.assert_frame(path, 0, molecule(1))
        self.send("POST", f"{path}/restore", {"commit": "1-0123456789abcdef"}, 404)
        self.send("POST", f"{path}/restore", {}, 400)
        self.send("POST", f"{path}/restore", {"commit": 7}, 400)

    def test_aliases(self):
        path = self.new_room([molecule(2)])
        name = path.rsplit("/", 1)[1]
        self.send("PUT", f"/data/{name}/frames/0?base_version=1", pack(molecule(2, 1)), 200)
        self.send("POST", "/api/rooms/default/frames", pack([molecule(1)]), 201)  # made by its first write
        self.send("POST", "/upload/frame/0", pack(molecule(1, 1)), 428)
        self.send("POST", "/upload/frame/0", pack(molecule(1, 1)), 200, If_Match='"0.1"')


class Keys(WriteCase):
    def test_a_repeated_request_is_done_once(self):
        path = self.new_room([molecule(1)])
        key = {"Idempotency_Key": uuid.uuid4().hex}
        body = pack([molecule(2), molecule(3)])
        first = self.send("POST", f"{path}/frames", body, 201, **key)
        again = self.send("POST", f"{path}/frames", body, 201, **key)
        self.assertEqual(first.body, again.body)
        self.assertEqual(again.headers["Idempotency-Replayed"], "true")
        self.assertEqual(first.headers["Zn-Commit"], again.headers["Zn-Commit"])
        self.assertEqual(self.server.get(path).json()["frameCount"], 3)
        self.send("POST", f"{path}/frames", pack([molecule(4)]), 422, **key)
        self.send("POST", f"{path}/frames?before=0", body, 422, **key)
        self.send("POST", f"{path}/frames", body, 201, Idempotency_Key=uuid.uuid4().hex)
        self.assertEqual(self.server.get(path).json()["frameCount"], 5)
        # Another method or path is another request; a refusal is not kept.
        self.send("PUT", f"{path}/frames/0", body, 400, **key)
        self.send("PUT", f"{path}/frames/0?base_version=9", pack(molecule(1, 1)), 409, **key)
        self.send("PUT", f"{path}/frames/0?base_version=1", pack(molecule(1, 1)), 200, **key)
        replayed = self.send("PUT", f"{path}/frames/0?base_version=1", pack(molecule(1, 1)), 200, **key)
        self.assertEqual(replayed.headers["Frame-Version"], "2")
        self.send("DELETE", f"{path}/frames/0?base_version=2", None, 200, **key)
        self.send("DELETE", f"{path}/frames/0?base_version=2", None, 200, **key)  # and not the next frame
        self.assertEqual(self.server.get(path).json()["frameCount"], 4)
        for bad in ("", "x" * 256):
            self.send("POST", f"{path}/frames", body, 400, Idempotency_Key=bad)

    def test_the_same_key_at_once(self):
        path, key, body = self.new_room(), uuid.uuid4().hex, pack(molecule(50))
        codes = []
        def post():
            client = Client(self.server.port)
            codes.append(client.request("POST", f"{path}/frames", body, {"Content-Type": "application/msgpack",
                                                                        "Idempotency-Key": key}).status)
            client.close()
        threads = [threading.Thread(target=post) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(set(codes) - {201, 409}, set())
        self.assertIn(201, codes)
        self.assertEqual(self.server.get(path).json()["frameCount"], 1)


class Locks(WriteCase):
    def lock(self, path, target):
        return self.send("PUT", f"{path}/locks/{target}", {}, 200).json()["lock_token"]

    def test_a_lock_excludes_and_is_a_base(self):
        path = self.new_room([molecule(2), molecule(3)])
        token = self.lock(path, "frame:0")
        edit = lambda k: pack({"delta": {"info.k": k}})
        self.send("PATCH", f"{path}/frames/0?base_version=1", edit(1), 423)
        self.send("PATCH", f"{path}/frames/0", edit(1), 423)  # before the missing base
        self.send("PATCH", f"{path}/frames/1?base_version=1", edit(1), 200)
        self.send("PATCH", f"{path}/frames/0", edit(1), 200, Lock_Token=token)
        self.send("PATCH", f"{path}/frames/0?lock_token={token}", edit(2), 200)  # its own write moved its base
        self.send("PATCH", f"{path}/frames/0", edit(3), 409, Lock_Token="0" * 64)
        self.send("DELETE", f"{path}/frames/0?base_version=3", None, 423)
        self.send("PATCH", f"{path}/frames/0?release=true", edit(4), 200, Lock_Token=token)
        self.send("PATCH", f"{path}/frames/0?base_version=4", edit(5), 200)
        self.send("PATCH", f"{path}/frames/0", edit(6), 409, Lock_Token=token)

    def test_the_trajectory_lock(self):
        path = self.new_room([molecule(n) for n in (1, 2, 3)])
        token = self.lock(path, "trajectory:meta")
        commit = self.server.get(path).json()["commit"]
        for method, where, body in (("POST", "/frames", pack(molecule(1))), ("DELETE", f"/frames?indices=0&base_commit={commit}", None),
                                    ("DELETE", "/frames/0?base_version=1", None), ("POST", "/restore", {"commit": commit}),
                                    ("PATCH", "", {"description": "x"})):
            self.send(method, path + where, body, 423)
        self.send("PATCH", f"{path}/frames/0?base_version=1", pack({"delta": {"info.k": 1}}), 200)  # frames are free
        self.send("POST", f"{path}/frames", pack(molecule(1)), 201, Lock_Token=token)
        self.send("DELETE", f"{path}/frames?indices=0,1", None, 200, Lock_Token=token)  # the lock is the base
        self.assertEqual(self.server.get(path).json()["frameCount"], 2)


class Rooms(WriteCase):
    def test_create_and_fork(self):
        room = self.send("POST", "/api/rooms", {"description": "d"}, 201)
        model = room.json()
        self.assertEqual(room.headers["Location"], f"/api/rooms/{model['id']}")
        self.assertEqual(set(model), {"id", "description", "frameCount", "locked", "hidden", "isDefault", "metadataLocked",
                                      "presenterSid", "base", "commit"})
        self.assertEqual((model["frameCount"], model["base"], model["description"]), (0, None, "d"))
        self.send("POST", "/api/rooms", {"id": model["id"]}, 409)
        for bad in (".hidden", "zarr.json", "a/b", "", "x" * 129, "ü"):
            self.send("POST", "/api/rooms", {"id": bad}, 400)
        self.send("POST", "/api/rooms", {"id": 7}, 400)
        self.send("POST", "/api/rooms", {"name": "x"}, 400)
        path = self.new_room([molecule(1), molecule(2)])
        name, commit = path.rsplit("/", 1)[1], self.server.get(path).json()["commit"]
        self.send("PUT", f"{path}/frames/0?base_version=1", pack(molecule(1, 5)), 200)
        fork = self.send("POST", "/api/rooms", {"base": f"{name}@{commit}"}, 201).json()
        self.assertEqual((fork["frameCount"], fork["base"]), (2, f"{name}@{commit}"))
        self.assert_frame(f"/api/rooms/{fork['id']}", 0, molecule(1))
        self.send("POST", "/api/rooms", {"base": "nowhere"}, 404)
        self.send("POST", "/api/rooms", {"base": f"{name}@1-0123456789abcdef"}, 404)
        self.send("POST", "/api/rooms", {"base": f"{name}@x"}, 400)
        # Forks live on.
        self.send("DELETE", path, None, 403)  # an admin's
        self.send("DELETE", path, None, 204, **self.admin)
        self.send("GET", path, None, 404)
        self.assert_frame(f"/api/rooms/{fork['id']}", 1, molecule(2))

    def test_describe_hide_lock(self):
        path = self.new_room([molecule(1)])
        name = path.rsplit("/", 1)[1]
        model = self.send("PATCH", path, {"description": "new", "hidden": True}, 200).json()
        self.assertEqual((model["description"], model["hidden"]), ("new", True))
        listed = lambda query: name in [r["id"] for r in self.server.get(f"/api/rooms?limit=1000{query}").json()]
        self.assertFalse(listed(""))
        self.assertTrue(listed("&hidden=true"))
        for bad in ({"description": 1}, {"locked": "yes"}, {"hiden": True}, {"description": "x" * 5000}):
            self.send("PATCH", path, bad, 400)
        self.send("PATCH", path, {"locked": True}, 200)
        for method, where, body in (("POST", "/frames", pack(molecule(1))), ("PUT", "/frames/0?base_version=1", pack(molecule(1))),
                                    ("DELETE", "/frames/0?base_version=1", None), ("POST", "/frames/0/undo", None),
                                    ("PATCH", "", {"description": "no"}), ("PATCH", "/metadata", {"a": 1})):
            self.send(method, path + where, body, 403)
        self.assertEqual(self.server.get(path).json()["description"], "new")
        self.send("POST", "/api/rooms", {"base": name}, 201)  # forking goes on
        self.send("PATCH", path, {"locked": False}, 403)
        self.send("PATCH", path, {"locked": False}, 200, **self.admin)
        self.send("POST", f"{path}/frames", pack(molecule(1)), 201)

    def test_default_room(self):
        path = self.new_room([molecule(1)])
        name = path.rsplit("/", 1)[1]
        self.assertTrue(self.send("PATCH", path, {"isDefault": True}, 200).json()["isDefault"])
        self.assertEqual([r["id"] for r in self.server.get("/api/rooms?limit=1000").json() if r["isDefault"]], [name])
        self.send("DELETE", path, None, 409, **self.admin)
        self.send("PATCH", path, {"isDefault": False}, 400)
        other = self.new_room()
        self.send("PATCH", other, {"isDefault": True}, 200)
        self.send("DELETE", path, None, 204, **self.admin)

    def test_metadata(self):
        path = self.new_room()
        self.assertEqual(self.server.get(f"{path}/metadata").json(), {})
        patch = lambda body, status=200: self.server.request("PATCH", f"{path}/metadata", json.dumps(body).encode(),
                                                             {"Content-Type": "application/merge-patch+json"})
        self.assertEqual(patch({"a": {"b": 1, "c": 2}, "d": [1]}).json(), {"a": {"b": 1, "c": 2}, "d": [1]})
        self.assertEqual(patch({"a": {"b": None}, "d": "x"}).json(), {"a": {"c": 2}, "d": "x"})
        self.assertEqual(patch({"big": "x" * 70000}).status, 413)
        self.assertEqual(patch([1]).status, 400)
        self.assertEqual(self.server.get(f"{path}/metadata").json(), {"a": {"c": 2}, "d": "x"})
        deep = b'{"a":' + b"[" * 50000 + b"]" * 50000 + b"}"
        self.assertEqual(self.server.request("PATCH", f"{path}/metadata", deep, {"Content-Type": "application/json"}).status, 400)

    def test_empty_rooms_survive_a_restart(self):
        name = self.new_room().rsplit("/", 1)[1]
        self.assertEqual(self.server.stop(), 0)
        self.start()
        model = self.server.get(f"/api/rooms/{name}").json()
        self.assertEqual((model["frameCount"], model["base"]), (0, None))


if __name__ == "__main__":
    unittest.main()

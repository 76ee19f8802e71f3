"""Changing frames, rule by rule of the contract: what a change is based on, edits, keys, locks."""
import threading
import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from support.zn import Client
from support.writing import COLUMNS, WriteCase, molecule, pack, pack_columns


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

    def test_uploads_of_older_clients_go_behind_the_last_frame(self):
        room = "/api/rooms/default"
        if self.server.get(room).status == 404:
            self.send("POST", "/upload/frame/0", pack(molecule(3)), 201)  # makes the room
        count = len(self.meta(room))
        self.send("POST", f"/upload/frame/{count + 1}", pack(molecule(3)), 404)
        for i in range(count, count + 3):
            reply = self.send("POST", f"/upload/frame/{i}", pack(molecule(3, i)), 201)
            meta = self.meta(room)[i]
            self.assertEqual({k: reply.json()[k] for k in ("frame", "id", "version")}, {"frame": i, "id": meta["id"], "version": 1})
            self.assertEqual(reply.headers["Frame-Id"], str(meta["id"]))
            self.assert_frame(room, i, molecule(3, i))
        self.send("POST", f"/upload/frame/{count + 3}", pack([molecule(3)] * 2), 400)
        self.send("POST", f"/upload/frame/{count}", pack(molecule(3, 77)), 428)  # it is there now
        key = {"Idempotency_Key": uuid.uuid4().hex}
        first = self.send("POST", f"/upload/frame/{count + 3}", pack(molecule(2)), 201, **key)
        lock = self.send("PUT", f"{room}/locks/trajectory:meta", {}, 200).json()["lock_token"]
        self.send("POST", f"/upload/frame/{count + 4}", pack(molecule(2)), 423)
        self.send("POST", f"/upload/frame/{count + 4}?lock_token={lock}&release=true", pack(molecule(2)), 201)
        self.assertEqual(len(self.meta(room)), count + 5)
        lock = self.send("PUT", f"{room}/locks/frame:{count}", {}, 200).json()["lock_token"]
        self.send("POST", f"/upload/frame/{count}?lock_token={lock}&release=true", pack(molecule(3, 78)), 200)
        self.assertNotIn("Idempotency-Replayed", first.headers)

    def test_uploads_to_one_place_at_once_make_one_frame(self):
        self.send("POST", "/api/rooms/default/frames", pack([molecule(1)]), 201)
        count = len(self.meta("/api/rooms/default"))
        def upload(n):
            client = Client(self.server.port)
            try:
                return self.send("POST", f"/upload/frame/{count}", pack(molecule(4, n)), client=client).status
            finally:
                client.close()
        with ThreadPoolExecutor(8) as threads:
            statuses = sorted(threads.map(upload, range(8)))
        self.assertEqual(statuses[0], 201)
        self.assertTrue(set(statuses[1:]) <= {409, 428}, statuses)
        self.assertEqual(len(self.meta("/api/rooms/default")), count + 1)


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


if __name__ == "__main__":
    unittest.main()

"""What the contract says in passing, where one part of the server meets another: names in errors, headers, what ends with what."""
import json
import time
import unittest

from support.followers import PythonFollower
from support.zn import DATA, RoomCase, Server, needs_sandbox


class Contract(RoomCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.make_token("root", "admin")
        cls.ann = cls.make_token("ann", "read,write,lock")
        cls.only_r = cls.make_token("reader", "r=read")
        cls.server = Server(cls.store, "--access-log")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def ask(self, method, path, body=None, status=200, **headers):
        reply = self.server.ask(method, path, body, **headers)
        self.assertEqual(reply.status, status, reply.body)
        return reply

    def lock(self, target, **headers):
        return self.ask("PUT", f"/api/rooms/r/locks/{target}", **headers).json()["lock_token"]

    def test_an_unknown_field_names_those_that_were_nearly_meant(self):
        wrong = self.ask("GET", "/api/rooms/r/frames/0?data=positons", status=404).json()
        self.assertIn("positions", wrong["candidates"])

    def test_a_wrong_commit_is_told_by_its_parameter(self):
        for path, name in (("frames/changes?since=x", "since"), ("frames?at=x", "at")):
            self.assertTrue(self.ask("GET", f"/api/rooms/r/{path}", status=400).json()["detail"].startswith(name + ":"))

    def test_who_is_kept_out_by_a_lock_knows_for_how_long(self):
        token = self.lock("frame:2", token=self.ann)
        refused = self.ask("PUT", "/api/rooms/r/locks/frame:2", status=423)
        self.assertEqual(str(refused.json()["retry_after"]), refused.headers["Retry-After"])
        self.ask("DELETE", "/api/rooms/r/locks/frame:2", status=204, Lock_Token=token)

    def test_a_conflict_over_a_record_comes_with_all_of_it(self):
        path = "/api/rooms/r/state/settings/camera/zoom"
        made = self.ask("PUT", path, {"value": 1}, status=201)
        self.assertEqual(made.headers["Zn-Position"].split(":")[0], self.server.room("r").headers["Zn-Position"].split(":")[0])
        for method, headers, status in (("PUT", {"If_Match": '"7"'}, 412), ("PUT", {"If_Match": "7"}, 409), ("DELETE", {}, 428)):
            latest = self.ask(method, path, {"value": 2} if method == "PUT" else None, status=status, **headers).json()["latest"]
            wanted = {name: made.json()[name] for name in ("value", "version", "actor_id", "origin", "timestamp")}
            self.assertEqual(latest, wanted)
        for reply in (self.ask("GET", path), self.ask("POST", "/api/rooms/r/state", []), self.ask("GET", "/api/rooms/r/metadata"),
                      self.ask("PATCH", "/api/rooms/r/metadata", {"a": 1})):
            self.assertIn("Zn-Position", reply.headers)
            self.assertIn("Zn-Commit", reply.headers)

    def test_the_lock_of_the_metadata_guards_them(self):
        token = self.lock("trajectory:meta", token=self.ann)
        self.ask("PATCH", "/api/rooms/r/metadata", {"a": 1}, status=423)
        self.ask("PATCH", "/api/rooms/r/metadata?lock_token=" + "0" * 64, {"a": 1}, status=409)
        self.ask("PATCH", "/api/rooms/r/metadata", {"a": 2}, Lock_Token=token)
        self.ask("DELETE", "/api/rooms/r/locks/trajectory:meta", status=204, Lock_Token=token)

    def test_locks_come_in_pages(self):
        tokens = {target: self.lock(target) for target in ["trajectory:meta"] + [f"frame:{i}" for i in range(5, 10)]}
        seen, path, pages = [], "/api/rooms/r/locks?limit=2", 0
        while path:
            page = self.ask("GET", path)
            seen += [lock["target"] for lock in page.json()]
            path = page.headers["Link"].split(">")[0][1:] if page.headers["Link"] else None
            pages += 1
        self.assertEqual((seen, pages), (list(tokens), 3))
        for target, token in tokens.items():
            self.ask("DELETE", f"/api/rooms/r/locks/{target}", status=204, Lock_Token=token)

    def test_tokens_come_in_pages(self):
        seen, path = [], "/api/tokens?limit=2"
        while path:
            page = self.ask("GET", path, token=self.root)
            self.assertLessEqual(len(page.json()), 2)
            seen += [token["name"] for token in page.json()]
            path = page.headers["Link"].split(">")[0][1:] if page.headers["Link"] else None
        self.assertEqual(seen, ["root", "ann", "reader"])
        self.ask("GET", "/api/tokens?after=none", token=self.root, status=400)

    def test_a_restore_ends_the_locks_of_frames(self):
        commit = self.server.room("r").json()["commit"]
        frame = {"arrays.positions": [[0.0, 0.0, 0.0]], "arrays.numbers": [1]}
        self.ask("POST", "/api/rooms/r/frames", [frame], status=201)
        token = self.lock("frame:1", token=self.ann)
        self.ask("POST", "/api/rooms/r/restore", {"commit": commit}, status=423)
        self.ask("POST", "/api/rooms/r/restore", {"commit": commit}, Lock_Token=token)
        self.assertEqual(self.ask("GET", "/api/rooms/r/locks").json(), [])
        self.ask("POST", "/api/rooms/r/locks/frame:1", {}, status=409, Lock_Token=token)

    def test_the_default_room_is_told(self):
        self.ask("POST", "/api/rooms", {"id": "other"}, status=201)
        with PythonFollower(self.server.port) as follower:
            follower.emit("join:overview")
            self.ask("PATCH", "/api/rooms/r", {"isDefault": True})
            follower.wait("room:update", roomId="r", isDefault=True)
            self.ask("PATCH", "/api/rooms/other", {"isDefault": True})
            follower.wait("room:update", roomId="r", isDefault=False)
            follower.wait("room:update", roomId="other", isDefault=True)
        self.assertTrue(self.server.room("other").json()["isDefault"])

    def test_the_overview_tells_of_no_room_that_one_may_not_read(self):
        with PythonFollower(self.server.port, {"token": self.only_r}) as follower, PythonFollower(self.server.port) as sees_all:
            for each in (follower, sees_all):
                self.assertTrue(each.emit("join:overview")["ok"])
            self.ask("POST", "/api/rooms", {"id": "private"}, status=201)
            self.ask("PATCH", "/api/rooms/r", {"description": "seen by all"})
            sees_all.wait("room:update", roomId="private")
            sees_all.wait("room:update", roomId="r")
            follower.wait("room:update", roomId="r")
            self.assertNotIn("private", json.dumps(follower.heard))

    def test_tokens_of_urls_are_not_logged(self):
        for path in ("/zarr/r/zarr.json?token={}", "/api/events?token={}", "/zarr/r/zarr.json?token=x{}", "/api/rooms/r?token={}"):
            with self.server_stream(path.format(self.only_r)) as status:
                self.assertIn(status, (200, 400, 401))
        self.ask("PATCH", f"/api/rooms/r/metadata?lock_token={'a' * 64}", {"a": 1}, status=409)
        logged = self.server.logged()
        self.assertIn("token=...", logged)
        for secret in (self.only_r, "a" * 64):
            self.assertNotIn(secret, logged)

    def server_stream(self, path):
        """The status of a GET that may not end."""
        import contextlib
        import http.client

        @contextlib.contextmanager
        def opened():
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=5)
            connection.request("GET", path)
            try:
                yield connection.getresponse().status
            finally:
                connection.close()
        return opened()

    @needs_sandbox
    def test_jobs_behind_move_up(self):
        with PythonFollower(self.server.port) as follower:
            follower.emit("join:room", {"roomId": "r"})
            body = (DATA / "molecules.xyz").read_bytes()
            ids = []
            for _ in range(3):
                job = self.server.request("POST", "/api/rooms/r/import", body)
                self.assertEqual(job.status, 202, job.body)
                ids.append(job.json()["id"])
            follower.wait("queue:update", 20, id=ids[-1], state="done")
            told = [(data["state"], data["position"]) for name, data in follower.heard
                    if name == "queue:update" and data["id"] == ids[-1]]
            self.assertEqual([state for state, _ in told if state != "queued"], ["running", "done"])
            self.assertTrue(all(data["eventPosition"] for name, data in follower.heard if name == "queue:update"))
            positions = [position for state, position in told if state == "queued"]
            self.assertEqual(positions, sorted(positions, reverse=True))
            self.assertEqual(positions[-1], 1 if len(positions) > 1 else positions[-1])
            progress = [data for name, data in follower.heard if name == "job:progress" and data["id"] == ids[-1]]
            self.assertEqual(progress[-1]["percent"], 100)
            self.assertTrue(all(set(data) >= {"id", "percent", "message"} for data in progress))


class Scopes(RoomCase):
    def test_rooms_are_made_where_one_may_write(self):
        ann = self.make_token("ann", "r=read;mine=read,write")
        with Server(self.store) as server:
            self.assertEqual(server.ask("POST", "/api/rooms", {"id": "mine"}, token=ann).status, 201)
            self.assertEqual(server.ask("POST", "/api/rooms", {"id": "yours"}, token=ann).status, 403)
            self.assertEqual(server.ask("POST", "/api/rooms", {}, token=ann).status, 403)
            self.assertEqual(server.ask("POST", "/api/rooms", {"id": "mine", "base": "secret"}, token=ann).status, 404)
            self.assertEqual(server.ask("PATCH", "/api/rooms/r", {"description": "x"}, token=ann).status, 403)
            self.assertEqual([room["id"] for room in server.ask("GET", "/api/rooms", token=ann).json()], ["mine", "r"])


if __name__ == "__main__":
    unittest.main()

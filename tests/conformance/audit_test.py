"""The audit log: who changed what, of frames, rooms, records, locks and tokens; durable with the change it tells of."""
import json
import signal
import time
import unittest

from support.zn import RoomCase, Server, needs_sandbox


class Audit(RoomCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ann = cls.make_token("ann", "read,write,lock")
        cls.root = cls.make_token("root", "admin")

    def lines(self, server, room="r", **wanted):
        """The room's lines that have these members, oldest first; of no room: the server's."""
        path = (f"/api/rooms/{room}/audit" if room else "/api/audit") + "?limit=1000"
        lines = []
        while path:
            reply = server.ask("GET", path, token=self.root)
            self.assertEqual(reply.status, 200, reply.body)
            self.assertEqual(reply.headers["Content-Type"], "application/x-ndjson")
            lines += [json.loads(line) for line in reply.body.decode().splitlines()]
            path = reply.headers["Link"].split(">")[0][1:] if reply.headers["Link"] else None
        return [line for line in lines if all(line.get(name) == value for name, value in wanted.items())]

    def test_frames_have_their_hashes(self):
        with Server(self.store) as server:
            meta = server.get("/api/rooms/r/frames/meta?indices=0").json()[0]
            target = str(meta["id"])
            before = len(self.lines(server, scope="frame", target=target))
            patch = {"delta": {"info.note": "x"}, "base_version": meta["version"]}
            edited = server.ask("PATCH", "/api/rooms/r/frames/0", patch, token=self.ann)
            self.assertEqual(edited.status, 200, edited.body)
            again = server.ask("PATCH", "/api/rooms/r/frames/0", dict(patch, base_version=meta["version"] + 1), token=self.ann)
            self.assertFalse(again.json()["changed"])
            changed = server.get("/api/rooms/r/frames/meta?indices=0").json()[0]
            server.ask("POST", "/api/rooms/r/frames/0/undo", {}, token=self.ann)
            edit, undo = self.lines(server, scope="frame", target=target)[before:]
            self.assertEqual((edit["actor"], edit["origin"], edit["room"], edit["key"]), ("ann", "http", "r", "edit"))
            self.assertEqual((edit["old"], edit["new"], edit["version"]), (meta["hash"], changed["hash"], changed["version"]))
            self.assertEqual((undo["key"], undo["old"], undo["new"], undo["version"]),
                             ("undo", changed["hash"], meta["hash"], changed["version"] + 1))
            for line in (edit, undo):
                self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT[\d:.]+Z$")
            # Versions have theirs as well.
            versions = server.get("/api/rooms/r/frames/0/versions").json()
            self.assertEqual([v["hash"] for v in versions][:3], [meta["hash"], changed["hash"], meta["hash"]])

    def test_frames_that_come_and_go(self):
        with Server(self.store) as server:
            frame = {"arrays.positions": [[0.0, 0.0, 0.0]], "arrays.numbers": [1]}
            made = server.ask("POST", "/api/rooms/r/frames", [frame] * 2, token=self.ann).json()
            many = server.ask("POST", "/api/rooms/r/frames", [frame] * 150, token=self.ann).json()
            first = [self.lines(server, scope="frame", target=str(i))[-1] for i in made["ids"]]
            self.assertEqual([(line["key"], line["old"], line["version"]) for line in first], [("append", None, 1)] * 2)
            self.assertEqual(first[0]["new"], server.get(f"/api/rooms/r/frames/id:{made['ids'][0]}?format=json").headers["Frame-Hash"]
                             or server.get(f"/api/rooms/r/frames/meta?indices={made['indices'][0]}").json()[0]["hash"])
            line = self.lines(server, scope="frame", key="append")[-1]
            self.assertEqual(line["new"], {"frames": 150, "firstId": many["ids"][0], "lastId": many["ids"][-1],
                                           "frameCount": many["frameCount"], "commit": many["commit"]})
            gone = server.ask("DELETE", f"/api/rooms/r/frames?indices={made['indices'][0]}&base_commit={many['commit']}",
                              token=self.ann)
            self.assertEqual(gone.status, 200, gone.body)
            line = self.lines(server, scope="frame", target=str(made["ids"][0]))[-1]
            self.assertEqual((line["key"], line["new"]), ("delete", None))
            restored = server.ask("POST", "/api/rooms/r/restore", {"commit": many["commit"]}, token=self.ann)
            self.assertEqual(restored.status, 200)
            self.assertEqual(self.lines(server, scope="frame", key="restore")[-1]["actor"], "ann")

    def test_rooms(self):
        with Server(self.store) as server:
            self.assertEqual(server.ask("POST", "/api/rooms", {"id": "made", "base": "r"}, token=self.ann).status, 201)
            for change in ({"description": "new"}, {"locked": True}, {"locked": False}, {"hidden": True}, {"isDefault": True}):
                token = self.root if change == {"locked": False} else self.ann
                self.assertEqual(server.ask("PATCH", "/api/rooms/made", change, token=token).status, 200)
            server.ask("PATCH", "/api/rooms/made/metadata", {"a": 1}, token=self.ann)
            got = [(line["actor"], line["key"], line["old"], line["new"]) for line in self.lines(server, "made", scope="room")]
            self.assertEqual(got[0][:3], ("ann", "created", None))
            self.assertTrue(got[0][3]["base"].startswith("r@"))
            self.assertEqual(got[1:], [("ann", "description", "", "new"), ("ann", "locked", False, True),
                                       ("root", "locked", True, False), ("ann", "hidden", False, True),
                                       ("ann", "isDefault", "default", "made"), ("ann", "metadata", None, {"a": 1})])
            server.ask("PATCH", "/api/rooms/r", {"isDefault": True}, token=self.ann)
            self.assertEqual(server.ask("DELETE", "/api/rooms/made", token=self.root).status, 204)
            line = self.lines(server, None, scope="room")[-1]
            self.assertEqual((line["actor"], line["room"], line["key"]), ("root", "made", "deleted"))
            self.assertEqual(server.ask("GET", "/api/rooms/r/audit", token=self.ann).status, 403)

    def test_locks_a_moment_later(self):
        with Server(self.store) as server:
            def lock():
                grant = server.ask("PUT", "/api/rooms/r/locks/trajectory:meta", token=self.ann).json()
                server.ask("POST", "/api/rooms/r/locks/trajectory:meta", {}, token=self.ann, Lock_Token=grant["lock_token"])
                server.ask("DELETE", "/api/rooms/r/locks/trajectory:meta", token=self.ann, Lock_Token=grant["lock_token"])
            lock()
            deadline = time.monotonic() + 5
            while len(self.lines(server, scope="lock")) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            took, ended = self.lines(server, scope="lock")
            self.assertEqual((took["actor"], took["key"], took["target"], took["old"], took["new"]),
                             ("ann", "acquired", "trajectory:meta", None, "ann"))
            self.assertEqual((ended["key"], ended["old"], ended["new"]), ("ended", "ann", None))
            for _ in range(600):  # a burst does not fill the log
                lock()
            lock()
            deadline = time.monotonic() + 5
            while not self.lines(server, scope="lock", key="more") and time.monotonic() < deadline:
                time.sleep(0.05)
        with Server(self.store) as server:  # those of the last moments are written at the stop
            self.assertIn(self.lines(server, scope="lock")[-1]["key"], ("ended", "more"))

    def test_lines_are_durable_with_their_change(self):
        server = Server(self.store)
        frame = {"arrays.positions": [[0.0, 0.0, 0.0]], "arrays.numbers": [1]}
        made = [server.ask("POST", "/api/rooms/r/frames", [frame], token=self.ann).json()["ids"][0]
                for _ in range(20)]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.stop()
        with Server(self.store) as server:
            for frame in made:
                self.assertEqual([line["key"] for line in self.lines(server, scope="frame", target=str(frame))], ["append"])

    @needs_sandbox
    def test_imports(self):
        from support.zn import DATA
        with Server(self.store) as server:
            job = server.request("POST", "/api/rooms/fresh/import", (DATA / "molecules.xyz").read_bytes(),
                                 {"Authorization": f"Bearer {self.ann}"})
            self.assertEqual(job.status, 202, job.body)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                state = server.ask("GET", "/api/jobs/" + job.json()["id"], token=self.ann).json()
                if state["state"] not in ("queued", "running"):
                    break
                time.sleep(0.05)
            self.assertEqual(state["state"], "done", state)
            line = self.lines(server, "fresh", scope="frame")[-1]
            self.assertEqual((line["actor"], line["key"], line["new"]["commit"]), ("ann", "import", state["commit"]))


class RoomKeys(RoomCase):
    def test_a_room_is_made_once_for_a_key(self):
        with Server(self.store) as server:
            first = server.ask("POST", "/api/rooms", {"description": "d", "base": "r"}, Idempotency_Key="k1")
            self.assertEqual(first.status, 201, first.body)
            again = server.ask("POST", "/api/rooms", {"description": "d", "base": "r"}, Idempotency_Key="k1")
            self.assertEqual((again.status, again.headers["Idempotency-Replayed"]), (201, "true"))
            self.assertEqual(again.json(), first.json())
            self.assertEqual(again.headers["Location"], first.headers["Location"])
            self.assertEqual(server.room(first.json()["id"]).json(), first.json())
            other = server.ask("POST", "/api/rooms", {"description": "e"}, Idempotency_Key="k1")
            self.assertEqual(other.status, 422)
            named = server.ask("POST", "/api/rooms", {"id": "named"}, Idempotency_Key="k2")
            self.assertEqual((named.status, server.ask("POST", "/api/rooms", {"id": "named"}, Idempotency_Key="k2").status), (201, 201))
            self.assertEqual(server.ask("POST", "/api/rooms", {"id": "named"}).status, 409)
        with Server(self.store) as server:
            again = server.ask("POST", "/api/rooms", {"description": "d", "base": "r"}, Idempotency_Key="k1")
            self.assertEqual(again.json(), first.json(), "kept across a restart")


if __name__ == "__main__":
    unittest.main()

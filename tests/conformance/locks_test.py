"""Locks, fences, the presenter and access against the real server, also when it is killed: what a second user would lose."""
import json
import os
import signal
import unittest

from support.zn import BIN, RoomCase, Server, run


class Locks(RoomCase):
    def test_a_lock_excludes_others_and_ends(self):
        with Server(self.store) as server:
            path = "/api/rooms/r/locks/frame:0"
            grant = server.ask("PUT", path, {"ttl_ms": 60000, "msg": "mine"})
            self.assertEqual(grant.status, 200, grant.body)
            grant = grant.json()
            other = server.ask("PUT", path)
            self.assertEqual(other.status, 423)
            self.assertEqual(other.json()["holder"], "anonymous")
            self.assertGreaterEqual(int(other.headers["Retry-After"]), 1)
            self.assertNotIn(grant["lock_token"], other.body.decode())
            listed = server.get("/api/rooms/r/locks").json()
            self.assertEqual([lock["target"] for lock in listed], ["frame:0"])
            self.assertEqual(server.ask("POST", path, {}, Lock_Token="0" * 64).status, 409)
            self.assertEqual(server.ask("POST", path, {"ttl_ms": 1000}, Lock_Token=grant["lock_token"]).status, 200)
            self.assertEqual(server.ask("DELETE", path, Lock_Token=grant["lock_token"]).status, 204)
            self.assertEqual(server.ask("PUT", path).status, 200)

    def test_the_room_says_who_holds_its_metadata_and_who_presents(self):
        with Server(self.store) as server:
            self.assertIsNone(server.room("r").json()["metadataLocked"])
            server.ask("PUT", "/api/rooms/r/locks/trajectory:meta", {"msg": "sorting"})
            presenter = server.ask("PUT", "/api/rooms/r/presenter").json()
            model = server.room("r").json()
            self.assertEqual(model["metadataLocked"]["msg"], "sorting")
            self.assertEqual(model["metadataLocked"]["userName"], "anonymous")
            self.assertEqual(model["presenterSid"], "anonymous")
            self.assertEqual(server.ask("PUT", "/api/rooms/r/presenter").status, 423)
            self.assertEqual(server.ask("POST", "/api/rooms/r/presenter", presenter and
                                 {"presenter_token": presenter["presenter_token"]}).status, 200)
            self.assertEqual(server.ask("DELETE", "/api/rooms/r/presenter",
                                 {"presenter_token": presenter["presenter_token"]}).status, 204)

    def test_fences_only_grow_across_kills(self):
        last = ""
        for _ in range(4):
            server = Server(self.store)
            for _ in range(3):
                grant = server.ask("PUT", "/api/rooms/r/locks/frame:1").json()
                self.assertGreater(grant["fence"], last)
                last = grant["fence"]
                server.ask("DELETE", "/api/rooms/r/locks/frame:1", Lock_Token=grant["lock_token"])
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            server.stop()

    def test_tokens_open_what_they_name_and_nothing_else(self):
        def token(*options):
            code, text = run([BIN / "zn-server", "token", *options, "--store", self.store])
            self.assertEqual(code, 0, text)
            return text.strip()

        reader = token("create", "--name", "ann", "--scopes", "r=read")
        writer = token("create", "--name", "ben", "--scopes", "read,write,lock", "--days", "1")
        listed = token("list")
        self.assertIn("ann", listed)
        self.assertNotIn(reader, listed)
        with Server(self.store, "--no-anonymous") as server:
            refused = server.get("/api/rooms/r")
            self.assertEqual(refused.status, 401)
            self.assertIn("Bearer", refused.headers["WWW-Authenticate"])
            self.assertEqual(server.ask("GET", "/api/rooms/r", token=reader).status, 200)
            self.assertEqual(server.ask("PUT", "/api/rooms/r/locks/frame:0", token=reader).status, 403)
            self.assertEqual(server.ask("PUT", "/api/rooms/r/locks/frame:0", token=writer).status, 200)
            self.assertEqual(server.ask("GET", "/api/rooms/r/locks", token=reader).json()[0]["holder"], "ben")
            # Frames, by the fast way too.
            for _ in range(3):
                path = "/api/rooms/r/frames/0?data=positions&format=npy"
                self.assertEqual(server.ask("GET", path, token=reader).status, 200)
                self.assertEqual(server.get(path).status, 401)
                self.assertEqual(server.ask("GET", path, token="0" * 64).status, 401)
            code, text = run([BIN / "zn-server", "token", "create", "--name", "x", "--store", self.store])
            self.assertEqual(code, 1)
            self.assertIn("a server holds the store", text)
            self.assertNotIn(writer, server.logged())
        token("revoke", "ann")
        with Server(self.store, "--no-anonymous") as server:
            self.assertEqual(server.ask("GET", "/api/rooms/r", token=reader).status, 401)

    def test_an_admin_logs_in_and_may_force(self):
        env = dict(os.environ, ZNDRAW_ADMIN_USERNAME="root", ZNDRAW_ADMIN_PASSWORD="pass word", FLASK_SECRET_KEY="k")
        with Server(self.store, env=env) as server:
            self.assertEqual(server.ask("POST", "/api/login", {"username": "root", "password": "x"}).status, 401)
            session = server.ask("POST", "/api/login", {"username": "root", "password": "pass word"}).json()["token"]
            server.ask("PUT", "/api/rooms/r/locks/frame:0")
            path = "/api/rooms/r/locks/frame:0?force=true"
            self.assertEqual(server.ask("PUT", path).status, 403)
            self.assertEqual(server.ask("PUT", path, token=session).status, 200)
            audit = server.ask("GET", "/api/rooms/r/audit", token=session)
            self.assertEqual(audit.status, 200)
            lines = [json.loads(line) for line in audit.body.decode().splitlines()]
            self.assertEqual(lines[-1]["scope"], "lock")
            self.assertEqual(lines[-1]["actor"], "root")
            made = server.ask("POST", "/api/tokens", {"name": "cat", "scopes": "read"}, token=session)
            self.assertEqual(made.status, 201)
            self.assertEqual(server.ask("GET", "/api/rooms", token=made.json()["token"]).status, 200)
            for secret in (session, "pass word", made.json()["token"]):
                self.assertNotIn(secret, server.logged())


if __name__ == "__main__":
    unittest.main()

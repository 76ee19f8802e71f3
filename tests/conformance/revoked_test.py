"""What was opened with a token ends with it: event streams and Socket.IO sessions, at its revocation and at its expiry."""
import os
import time
import unittest

import socketio

from events_test import Stream
from support.followers import PythonFollower
from support.zn import RoomCase, Server


class Revoked(RoomCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(cls.store, "--event-heartbeat", "200",
                            env=dict(os.environ, ZNDRAW_ADMIN_USERNAME="root", ZNDRAW_ADMIN_PASSWORD="pass"))
        cls.port = cls.server.port
        cls.admin = cls.server.ask("POST", "/api/login", {"username": "root", "password": "pass"}).json()["token"]

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def token(self, name, seconds=None):
        body = {"name": name, "scopes": "read,write,lock"} | ({"expires_in": seconds} if seconds else {})
        reply = self.server.ask("POST", "/api/tokens", body, self.admin)
        self.assertEqual(reply.status, 201, reply.body)
        return reply.json()["token"]

    def revoke(self, name):
        self.assertEqual(self.server.ask("DELETE", f"/api/tokens/{name}", None, self.admin).status, 200)

    def write(self):
        """Something else that changes control records, as most of what happens does."""
        reply = self.server.ask("PUT", f"/api/rooms/r/state/settings/x/{time.time_ns()}", {"value": 1, "base_version": 0})
        self.assertEqual(reply.status // 100, 2, reply.body)

    def ends(self, stream, reason):
        """The stream ends within 2 s, and its last event says why."""
        begun = time.monotonic()
        name, data = stream.event()[1:]
        while name != "dropped":
            name, data = stream.event()[1:]
        self.assertEqual(data, {"reason": reason})
        self.assertEqual(stream.block(), [])  # the end
        self.assertLess(time.monotonic() - begun, 2)
        stream.close()

    def test_event_streams(self):
        kept, token = self.token("kept"), self.token("ann")
        other = Stream(self.port, "/api/rooms/r/events", Authorization=f"Bearer {kept}")
        anonymous = Stream(self.port, "/api/rooms/r/events")
        streams = [Stream(self.port, "/api/rooms/r/events", Authorization=f"Bearer {token}"),
                   Stream(self.port, f"/api/events?token={token}")]
        time.sleep(1.5)
        for stream in streams + [other, anonymous]:
            self.assertTrue(stream.block())
        self.revoke("ann")
        for stream in streams:
            self.ends(stream, "the token was revoked")
        time.sleep(1.5)
        self.server.ask("PATCH", "/api/rooms/r", {"description": "on"})
        for stream in (other, anonymous):
            self.assertEqual(stream.event()[1], "room:update")
            stream.close()
        again = Stream(self.port, "/api/rooms/r/events", Authorization=f"Bearer {token}")
        self.assertEqual(again.reply.status, 401)  # which tells EventSource not to come back
        again.close()

    def test_event_streams_at_expiry(self):
        token = self.token("brief", 2)
        stream = Stream(self.port, "/api/rooms/r/events", Authorization=f"Bearer {token}")
        begun = time.monotonic()
        self.write()
        name = stream.event()[1]
        while name != "dropped":
            name = stream.event()[1]
        self.assertGreater(time.monotonic() - begun, 1)
        self.assertLess(time.monotonic() - begun, 4)
        stream.close()

    def follower(self, token, transports=None):
        follower = PythonFollower(self.port, {"token": token}, transports)
        self.addCleanup(follower.close)
        follower.wait("session")
        self.assertTrue(follower.emit("join:room", {"roomId": "r"})["ok"])
        return follower

    def test_socketio(self):
        for transports in (["websocket"], ["polling"], None):
            with self.subTest(transports=transports):
                kept = self.follower(self.token("stays"), transports)
                token = self.token("ben")
                follower = self.follower(token, transports)
                time.sleep(1.5)
                self.write()
                self.assertTrue(follower.emit("join:room", {"roomId": "r"})["ok"])
                self.revoke("ben")
                begun = time.monotonic()
                follower.wait("dropped", reason="the token was revoked")
                follower.wait("#closed")
                self.assertLess(time.monotonic() - begun, 2)
                with self.assertRaises(socketio.exceptions.ConnectionError):
                    client = socketio.Client(reconnection=False)
                    client.connect(f"http://127.0.0.1:{self.port}", auth={"token": token})
                time.sleep(1.2)
                self.assertTrue(kept.emit("join:room", {"roomId": "r"})["ok"])
                self.revoke("stays")

    def test_an_event_behind_the_revocation_is_not_answered(self):
        follower = self.follower(self.token("eve"), ["websocket"])
        self.revoke("eve")
        with self.assertRaises(Exception):
            follower.client.call("state:update", {"scope": "s", "target": "t", "key": "eve", "value": 1, "base_version": 0}, timeout=2)
        self.assertEqual(self.server.get("/api/rooms/r/state/s/t/eve").status, 404)

    def test_socketio_at_expiry(self):
        follower = self.follower(self.token("short", 2), ["websocket"])
        begun = time.monotonic()
        follower.wait("dropped", reason="the token has expired")
        self.assertLess(time.monotonic() - begun, 4)


if __name__ == "__main__":
    unittest.main()

"""Kill -9 of the server amid writes: what was acknowledged is there, once; a retry with its Idempotency-Key is no second
write."""
import http.client
import os
import random
import threading
import time
import unittest
import uuid

import msgpack
import numpy as np

from support.zn import Client, Server, StoreCase
from write_test import pack

KILLS = int(os.environ.get("ZN_KILLS", "50"))
WRITERS = 4


class Writer(threading.Thread):
    """Edits a frame of its own, counting up, and appends frames that carry their number; remembers what was acknowledged."""

    def __init__(self, case, port, number):
        super().__init__(daemon=True)
        self.case, self.port, self.number = case, port, number
        self.broken = None

    def run(self):
        try:
            self.write()
        except (http.client.HTTPException, OSError):
            pass  # the server was killed
        except AssertionError as error:
            self.broken = error

    def send(self, connection, method, path, value, key):
        connection.request(method, path, pack(value), {"Content-Type": "application/msgpack", "Idempotency-Key": key})
        reply = connection.getresponse()
        return reply.status, reply.read()

    def write(self):
        state = self.case.states[self.number]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while True:
            if state["retry"] is None:
                append = random.random() < 0.3
                number = (state["appended"] if append else state["edited"]) + 1
                state["retry"] = (append, number, uuid.uuid4().hex)
            append, number, key = state["retry"]
            if append:
                status, body = self.send(connection, "POST", "/api/rooms/crash/frames",
                                         {"positions": np.full((2, 3), number, "<f4"),
                                          "info.mark": f"{self.number}/{number}"}, key)
                assert status == 201, body
                state["appended"] = number
            else:
                status, body = self.send(connection, "PATCH", f"/api/rooms/crash/frames/id:{self.number}?base_version={number}",
                                         {"delta": {"positions": np.full((2, 3), number, "<f4")}}, key)
                assert status == 200, body
                state["edited"] = number
            state["retry"] = None


class Crash(StoreCase):
    def test_kill_amid_writes(self):
        self.states = [{"edited": 0, "appended": 0, "retry": None} for _ in range(WRITERS)]
        server = Server(self.store, "--create")
        frames = [{"positions": np.zeros((2, 3), "<f4")} for _ in range(WRITERS)]
        for path, body in (("/api/rooms", b'{"id": "crash"}'), ("/api/rooms/crash/frames", pack(frames))):
            reply = server.request("POST", path, body, {"Content-Type": "application/json" if body[:1] == b"{" else "application/msgpack"})
            self.assertEqual(reply.status, 201, reply.body)
        for kill in range(KILLS):
            writers = [Writer(self, server.port, n) for n in range(WRITERS)]
            for writer in writers:
                writer.start()
            time.sleep(random.uniform(0.02, 0.25))
            server.process.kill()
            server.process.wait()
            for writer in writers:
                writer.join(60)
                if writer.broken:
                    raise writer.broken
            server.stop()
            server = Server(self.store)
            self.check(server, kill)
        server.stop()
        self.assertGreater(sum(s["edited"] + s["appended"] for s in self.states), KILLS)

    def check(self, server, kill):
        got = server.room("crash", "/frames").frames()
        meta = server.room("crash", "/frames/meta").json()
        marks = [frame["info.mark"] for frame in got if "info.mark" in frame]
        self.assertEqual(len(marks), len(set(marks)), f"kill {kill}: a write is there twice")
        self.assertEqual([m["frame"] for m in meta], list(range(len(meta))))
        for n, state in enumerate(self.states):
            append, number, _ = state["retry"] or (None, None, None)
            mine = sorted(int(mark.split("/")[1]) for mark in marks if mark.startswith(f"{n}/"))
            allowed = [list(range(1, state["appended"] + 1))]
            if append is True:
                allowed.append(list(range(1, number + 1)))
            self.assertIn(mine, allowed, f"kill {kill}, writer {n}")
            value = float(got[n]["arrays.positions"][0][0])
            self.assertIn(value, [state["edited"]] + ([number] if append is False else []), f"kill {kill}, writer {n}")
            self.assertEqual(meta[n]["version"], int(value) + 1, f"kill {kill}, writer {n}: versions have gaps")
            np.testing.assert_array_equal(got[n]["arrays.positions"], np.full((2, 3), value, "<f4"))


if __name__ == "__main__":
    unittest.main()

"""Events as real clients get them: python-socketio and socket.io-client (both parsers), EventSource, and SSE by hand."""
import http.client
import json
import socket
import time
import unittest

from support.followers import MsgpackFollower, NodeFollower, NodeStream, PythonFollower, needs_node
from support.zn import DATA, Client, Server, StoreCase, import_file


class EventsCase(StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for room in ("md", "other"):
            code, text = import_file(cls.store, room, DATA / "molecules.xyz")
            assert code == 0, text
        cls.server = Server(cls.store, "--event-heartbeat", "200", "--events-kept", "200", "--max-unsent", "65536")
        cls.port = cls.server.port

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        super().tearDownClass()

    def ask(self, method, path, body=None, status=None, **headers):
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        reply = self.server.request(method, path, data, {k.replace("_", "-"): v for k, v in headers.items()})
        self.assertEqual(reply.status // 100 if status is None else reply.status, status or 2, reply.body)
        return reply

    def position(self, room="md"):
        return self.ask("GET", f"/api/rooms/{room}").headers["Zn-Position"]

    def edit(self, frame=0, room="md"):
        """A change of one frame that is none like any before."""
        meta = self.ask("GET", f"/api/rooms/{room}/frames/meta?indices={frame}").json()[0]
        self.ask("PATCH", f"/api/rooms/{room}/frames/{frame}",
                 {"delta": {"info.note": f"{time.time_ns()}"}, "base_version": meta["version"], "frame_id": meta["id"]})
        return meta

    def append(self, room="md", count=1):
        frame = {"arrays.positions": [[0.0, 0.0, 0.0]], "arrays.numbers": [1]}
        return self.ask("POST", f"/api/rooms/{room}/frames", [frame] * count)


class Socket:
    """Every kind of client runs these."""

    def connect(self, **auth):
        follower = self.kind(self.port, auth or None)
        self.addCleanup(follower.close)
        return follower

    def joined(self, room="md", **auth):
        follower = self.connect(**auth)
        answer = follower.emit("join:room", {"roomId": room})
        self.assertEqual((answer["ok"], answer["status"], answer["room"]), (True, "joined", room))
        return follower

    def test_the_session_comes_first(self):
        follower = self.connect()
        session = follower.wait("session")
        self.assertEqual(follower.heard[0][0], "session")
        self.assertEqual(set(session), {"sid", "resume_token"})

    def test_polling_is_upgraded_to_websocket(self):
        follower = self.joined()
        deadline = time.monotonic() + 5
        while follower.transport != "websocket" and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(follower.transport, "websocket")
        meta = self.edit()
        follower.wait("frame_updated", id=meta["id"])

    def test_join_and_leave(self):
        follower = self.connect()
        answer = follower.emit("join:room", {"roomId": "md"})
        self.assertEqual(answer["position"], self.position())
        self.assertEqual(follower.emit("leave:room")["status"], "left", "roomId may be left out while one room is joined")
        follower.wait("session")
        self.edit()
        follower.quiet()
        self.assertEqual(follower.emit("leave:room")["error"]["status"], 400)
        missing = follower.emit("join:room", {"roomId": "mdd"})
        self.assertFalse(missing["ok"])
        self.assertEqual((missing["error"]["status"], missing["error"]["candidates"]), (404, ["md"]))
        self.assertEqual(follower.emit("join:rom", {})["error"]["candidates"], ["join:room"])
        self.assertEqual(follower.emit("join:room", {"roomId": 7})["error"]["status"], 400)

    def test_edits_undo_and_redo_update_a_frame(self):
        follower = self.joined()
        meta = self.edit(3)
        event = follower.wait("frame_updated")
        self.assertEqual((event["roomId"], event["frame"], event["id"], event["version"], event["fields"]),
                         ("md", 3, meta["id"], meta["version"] + 1, ["info.note"]))
        self.assertEqual(event["commit"], self.ask("GET", "/api/rooms/md").json()["commit"])
        self.assertIn("actor", event)
        self.assertEqual(event["position"], self.position())
        for step, version in (("undo", 2), ("redo", 3)):
            self.ask("POST", f"/api/rooms/md/frames/3/{step}")
            event = follower.wait("frame_updated")
            self.assertEqual((event["frame"], event["version"]), (3, meta["version"] + version))

    def test_frames_that_come_and_go_invalidate(self):
        follower = self.joined()
        count = self.ask("GET", "/api/rooms/md").json()["frameCount"]
        self.append(count=2)
        event = follower.wait("frames:invalidate")
        self.assertEqual((event["operation"], event["from"], event["count"]), ("append", count, 2))
        self.assertEqual(follower.wait("room:update")["frameCount"], count + 2)
        commit = self.ask("GET", "/api/rooms/md").json()["commit"]
        self.ask("DELETE", f"/api/rooms/md/frames?indices=0,{count},{count + 1}&base_commit={commit}")
        first, second = follower.wait("frames:invalidate"), follower.wait("frames:invalidate")
        self.assertEqual([(e["operation"], e["from"], e["count"]) for e in (first, second)],
                         [("delete", count, 2), ("delete", 0, 1)])
        self.ask("POST", "/api/rooms/md/restore", {"commit": commit})
        event = follower.wait("frames:invalidate")
        self.assertEqual((event["operation"], event["from"], event["count"]), ("reset", 0, count + 2))

    def test_each_event_comes_once_and_in_order(self):
        follower = self.joined()
        for i in range(20):
            self.edit(i % 5)
        for _ in range(20):
            follower.wait("frame_updated")
        follower.quiet()
        positions = [int(data["position"].split(":")[1]) for name, data in follower.heard if name == "frame_updated"]
        self.assertEqual(positions, list(range(positions[0], positions[0] + len(positions))))

    def test_the_overview_hears_of_rooms(self):
        follower = self.connect()
        self.assertEqual(follower.emit("join:overview")["room"], "overview:public")
        self.append("other")
        self.assertEqual(set(follower.wait("room:update", roomId="other")), {"roomId", "frameCount", "commit", "position"})
        follower.emit("join:room", {"roomId": "other"})
        self.append("md")
        follower.quiet()  # joining a room leaves the overview
        follower.emit("join:overview")
        self.append("other")
        follower.wait("room:update", roomId="other")
        follower.quiet()  # once, though it follows both

    def test_resuming_repeats_and_loses_nothing(self):
        follower = self.joined()
        self.edit()
        seen = follower.wait("frame_updated")
        follower.close()
        for _ in range(5):
            self.edit()
        again = self.connect(resume={"md": seen["position"]})
        missed = [again.wait("frame_updated") for _ in range(5)]
        epoch, first = map(int, seen["position"].split(":"))
        self.assertEqual([e["position"] for e in missed], [f"{epoch}:{first + i}" for i in range(1, 6)])
        again.quiet()
        self.edit()
        again.wait("frame_updated")  # and it follows from there

    def test_what_cannot_be_resumed_is_resynced(self):
        position = self.position()
        epoch = int(position.split(":")[0])
        for place in (f"{epoch + 1}:0", f"{epoch}:999999", "nonsense"):
            follower = self.connect(resume={"md": place, "gone": f"{epoch}:1"})
            state = follower.wait("resync")
            self.assertEqual((state["room"], state["position"]), ("md", self.position()))
            self.assertLessEqual({"commit", "locks", "presenter", "presence"}, set(state))
            gone = [item[1] for item in follower.heard if item[0] == "room:delete"] or [follower.wait("room:delete")]
            self.assertEqual([data["roomId"] for data in gone], ["gone"])
            follower.close()

    def test_reading_a_position_and_following_from_it_misses_nothing(self):
        position = self.position()
        meta = self.edit(2)
        follower = self.connect()
        self.assertTrue(follower.emit("join:room", {"roomId": "md", "since": position})["ok"])
        follower.wait("frame_updated", id=meta["id"], version=meta["version"] + 1)

    def test_locks(self):
        holder, other = self.joined(), self.joined()
        other.wait("session")
        meta = self.ask("GET", "/api/rooms/md/frames/meta?indices=1").json()[0]
        grant = holder.emit("lock:acquire", {"target": "frame:1", "ttl": 30, "msg": {"text": "mine"}})
        self.assertTrue(grant["ok"], grant)
        self.assertLessEqual({"lock_token", "fence", "expires_in_ms", "id", "version"}, set(grant))
        self.assertEqual((grant["id"], grant["version"]), (meta["id"], meta["version"]))
        for follower in (holder, other):
            event = follower.wait("lock:update")
            self.assertEqual((event["roomId"], event["target"], event["id"], event["msg"]),
                             ("md", "frame:1", meta["id"], {"text": "mine"}))
            self.assertIsNotNone(event["holder"])
            self.assertGreater(event["expires_in_ms"], 20_000)
            self.assertNotIn("lock_token", event)
        refused = other.emit("lock:acquire", {"target": "frame:1"})
        self.assertEqual((refused["ok"], refused["error"]["status"]), (False, 423))
        self.assertTrue(holder.emit("lock:msg", {"target": "frame:1", "metadata": {"text": "still"}})["ok"])
        self.assertEqual(other.wait("lock:update")["msg"], {"text": "still"})
        refreshed = holder.emit("lock:refresh", {"target": "frame:1", "ttl_ms": 200})
        self.assertTrue(refreshed["ok"], refreshed)
        self.assertIsNotNone(other.wait("lock:update")["holder"])
        self.assertIsNone(other.wait("lock:update", seconds=3)["holder"])  # it ran out
        self.assertEqual(holder.emit("lock:release", {"target": "frame:1"})["error"]["type"].split(":")[-1], "lock-lost")
        self.assertTrue(other.emit("lock:acquire", {"target": "frame:1"})["ok"])
        self.assertTrue(other.emit("lock:release", {"target": "frame:1"})["ok"])
        self.assertIsNotNone(holder.wait("lock:update", target="frame:1", holder=None))

    def test_the_lock_of_the_trajectory_is_the_rooms(self):
        follower = self.joined()
        self.assertTrue(follower.emit("lock:acquire", {"target": "trajectory:meta", "msg": "importing"})["ok"])
        self.assertIsNone(follower.wait("lock:update")["id"])
        locked = follower.wait("room:update")["metadataLocked"]
        self.assertEqual((locked["msg"], set(locked)), ("importing", {"msg", "userName", "timestamp"}))
        self.assertTrue(follower.emit("lock:release", {"target": "trajectory:meta"})["ok"])
        self.assertIsNone(follower.wait("room:update")["metadataLocked"])

    def test_a_lost_connections_locks_go_unless_it_comes_back(self):
        other = self.joined()
        back, gone = self.joined(), self.joined()
        token = back.wait("session")["resume_token"]
        for i, follower in enumerate((back, gone)):
            self.assertTrue(follower.emit("lock:acquire", {"target": f"frame:{i}"})["ok"])
        for _ in range(2):
            other.wait("lock:update")
        start = time.monotonic()
        back.close(), gone.close()
        again = self.joined(resume_token=token)
        self.assertIsNone(other.wait("lock:update", seconds=8, target="frame:1")["holder"])
        self.assertGreater(time.monotonic() - start, 4)
        other.quiet(1)
        self.assertIsNotNone(self.ask("GET", "/api/rooms/md/locks/frame:0").json()["holder"])
        again.close()
        other.wait("lock:update", seconds=8, target="frame:0", holder=None)

    def test_the_presenter_leads(self):
        leader, other = self.joined(), self.joined()
        sid = leader.wait("session")["sid"]
        self.assertEqual(leader.emit("set_room_frame", {"frame": 3})["error"]["status"], 403)
        self.assertTrue(leader.emit("request_presenter_token")["ok"])
        self.assertEqual(other.wait("room:update")["presenterSid"], sid)
        self.assertEqual(other.emit("request_presenter_token")["error"]["status"], 423)
        self.assertTrue(leader.emit("renew_presenter_token")["ok"])
        self.assertTrue(leader.emit("set_room_frame", {"frame": 3})["ok"])
        for follower in (leader, other):
            self.assertEqual(follower.wait("frame_update"), {"roomId": "md", "frame": 3})
        self.assertEqual(other.emit("set_room_frame", {"frame": 4})["error"]["status"], 403)
        self.assertTrue(leader.emit("release_presenter_token")["ok"])
        self.assertIsNone(other.wait("room:update")["presenterSid"])

    def test_state_records(self):
        follower = self.joined()
        record = {"scope": "frame", "target": 2, "key": f"label-{time.time_ns()}", "value": {"text": "good"}}
        answer = follower.emit("state:update", record)
        self.assertEqual((answer["ok"], answer["version"]), (True, 1), answer)
        event = follower.wait("state:update")
        self.assertEqual((event["roomId"], event["key"], event["value"], event["version"]),
                         ("md", record["key"], {"text": "good"}, 1))
        stale = follower.emit("state:update", {**record, "value": 2, "base_version": 7})
        self.assertEqual((stale["ok"], stale["error"]["status"], stale["error"]["latest"]["version"]), (False, 409, 1))
        self.assertTrue(follower.emit("state:update", {**record, "value": "x" * 5000, "base_version": 1})["ok"])
        event = follower.wait("state:update")
        self.assertEqual((event["version"], "value" in event), (2, False))

    def test_presence(self):
        follower = self.joined()
        self.ask("POST", "/api/rooms/md/presence", {"client_id": f"c{time.time_ns()}", "status": "editing"})
        event = follower.wait("presence")
        self.assertGreaterEqual(event["editors"], 1)
        self.assertNotIn("position", event)


class PythonSocket(Socket, EventsCase):
    kind = PythonFollower


@needs_node
class NodeSocket(Socket, EventsCase):
    kind = NodeFollower


@needs_node
class MsgpackSocket(Socket, EventsCase):
    kind = MsgpackFollower


class Stream:
    """An event stream by hand."""

    def __init__(self, port, path, **headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        self.connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        self.reply = self.connection.getresponse()

    def block(self):
        """The next block's lines."""
        lines = []
        while True:
            line = self.reply.readline().decode()
            if line in ("\n", ""):
                return lines
            lines.append(line.rstrip("\n"))

    def event(self):
        """(id, name, data) of the next block with data; ids of blocks without stay."""
        while True:
            block = self.block()
            if not block:
                raise AssertionError("the stream ended")
            fields = dict(line.split(": ", 1) for line in block if not line.startswith(":"))
            if "data" in fields:
                return fields.get("id"), fields["event"], json.loads(fields["data"])

    def close(self):
        self.connection.close()


class Sse(EventsCase):
    def stream(self, path="/api/rooms/md/events", **headers):
        stream = Stream(self.port, path, **headers)
        self.addCleanup(stream.close)
        return stream

    def test_heads(self):
        stream = self.stream()
        self.assertEqual((stream.reply.status, stream.reply.headers["Content-Type"]), (200, "text/event-stream"))
        self.assertEqual(stream.reply.headers["Cache-Control"], "no-store")
        self.assertEqual(self.server.request("HEAD", "/api/rooms/md/events").status, 200)
        self.ask("GET", "/api/rooms/mdd/events", status=404)
        self.ask("GET", "/api/rooms/md/events?since=x", status=400)
        self.ask("POST", "/api/rooms/md/events", {}, status=405)

    def test_begins_with_a_place_to_resume_from_and_beats(self):
        stream = self.stream()
        self.assertEqual(stream.block()[-1], f"id: {self.position()}")
        start = time.monotonic()
        self.assertEqual((stream.block(), stream.block()), ([":"], [":"]))
        self.assertLess(time.monotonic() - start, 1)

    def test_streams_and_resumes(self):
        stream = self.stream()
        meta = self.edit(1)
        place, name, data = stream.event()
        self.assertEqual((name, data["id"], data["position"]), ("frame_updated", meta["id"], place))
        stream.close()
        for _ in range(3):
            self.edit(1)
        for again in (self.stream(Last_Event_ID=place), self.stream(f"/api/rooms/md/events?since={place}"),
                      self.stream("/api/rooms/md/events?since=1:1", Last_Event_ID=place)):
            epoch, first = map(int, place.split(":"))
            self.assertEqual([again.event()[0] for _ in range(3)], [f"{epoch}:{first + i}" for i in (1, 2, 3)])

    def test_resync(self):
        for headers in ({"Last_Event_ID": "1:999999999"}, {"Last_Event_ID": "what"}):
            stream = self.stream(**headers)
            place, name, data = stream.event()
            self.assertEqual((name, place, data["room"]), ("resync", data["position"], "md"))
            meta = self.edit(1)
            self.assertEqual(stream.event()[2]["id"], meta["id"])

    def test_the_overview(self):
        stream = self.stream("/api/events")
        self.append("other")
        self.assertEqual(stream.event()[1:2], ("room:update",))

    def test_who_goes_away_is_let_go(self):
        def followers():
            text = self.ask("GET", "/metrics").body.decode()
            return int(next(line for line in text.splitlines() if line.startswith("zn_events_followers ")).split()[1])
        before = followers()
        streams = [self.stream() for _ in range(20)]
        for stream in streams:
            stream.block()
        self.assertEqual(followers(), before + 20)
        for stream in streams:
            stream.close()
        deadline = time.monotonic() + 5
        while followers() > before and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(followers(), before)

    def test_who_does_not_read_is_dropped_and_told_why(self):
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", self.port))
        slow.sendall(b"GET /api/rooms/md/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        slow.settimeout(5)
        got = slow.recv(100)
        def dropped():
            text = self.ask("GET", "/metrics").body.decode()
            return int(next(line for line in text.splitlines() if line.startswith("zn_events_dropped_total")).split()[1])
        description, before = "x" * 4000, dropped()
        for i in range(2000):
            self.ask("PATCH", "/api/rooms/md", {"description": f"{i} {description}"})
            if i % 50 == 0 and dropped() > before:
                break
        self.assertEqual(dropped(), before + 1)
        self.ask("PATCH", "/api/rooms/md", {"description": ""})
        while part := slow.recv(65536):
            got += part
        self.assertIn(b"event: dropped\ndata: {\"reason\":\"more than 65536 bytes waited to be read\"}", got)
        slow.close()

    def test_a_stopping_server_ends_its_streams(self):
        with Server(self.store, "--read-only") as second:
            stream = Stream(second.port, "/api/rooms/md/events")
            stream.block()
            start = time.monotonic()
            self.assertEqual(second.stop(), 0)
            self.assertLess(time.monotonic() - start, 3)
            stream.close()

    @needs_node
    def test_event_source_of_browsers(self):
        with NodeStream(self.port, path="/api/rooms/md/events") as source:
            meta = self.edit(4)
            event = source.wait("frame_updated", id=meta["id"])
            self.assertEqual(source.heard[-1][2], event["position"])
        for _ in range(2):
            self.edit(4)
        with NodeStream(self.port, path="/api/rooms/md/events", extra=event["position"]) as source:
            epoch, first = map(int, event["position"].split(":"))
            self.assertEqual([source.wait("frame_updated")["position"] for _ in range(2)],
                             [f"{epoch}:{first + 1}", f"{epoch}:{first + 2}"])


if __name__ == "__main__":
    unittest.main()

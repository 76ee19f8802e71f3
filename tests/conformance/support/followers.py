"""Clients that follow events: python-socketio and, by node/follow.mjs, socket.io-client and eventsource. Default options."""
import json
import queue
import shutil
import subprocess
import threading
import time
import unittest
from pathlib import Path

import socketio

NODE = Path(__file__).resolve().parents[1] / "node"
needs_node = unittest.skipUnless(
    shutil.which("node") and (NODE / "node_modules").exists(),
    f"node with its packages is not there (npm ci in {NODE}): its clients are skipped")


class Follower:
    """What it heard, in order: (event, data) or, of event streams, (event, data, id)."""

    def __init__(self):
        self.heard, self.new, self.answers = [], queue.Queue(), queue.Queue()

    def take(self, item):
        self.heard.append(item)
        self.new.put(item)

    def wait(self, name, seconds=5, **members):
        """The next event of that name whose data have these members; what comes before it is passed over."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                item = self.new.get(timeout=max(0.001, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {name} {members} in {seconds} s; heard: {self.heard}") from None
            if item[0] == name and all(item[1].get(key) == value for key, value in members.items()):
                return item[1]

    def quiet(self, seconds=0.3):
        """Asserts that nothing more comes."""
        try:
            raise AssertionError(f"unexpected: {self.new.get(timeout=seconds)}")
        except queue.Empty:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class PythonFollower(Follower):
    def __init__(self, port, auth=None, transports=None, **_):
        super().__init__()
        self.client = socketio.Client(reconnection=False)
        for name in ["session", "frame_updated", "frames:invalidate", "room:update", "room:delete", "lock:update", "state:update",
                     "frame_update", "presence", "resync", "job:progress", "queue:update", "dropped"]:
            self.client.on(name, lambda data, name=name: self.take((name, data)))
        self.client.on("disconnect", lambda: self.take(("#closed", {})))
        self.client.connect(f"http://127.0.0.1:{port}", auth=auth, transports=transports)

    def emit(self, name, argument=None):
        return self.client.call(name, argument, timeout=10)

    @property
    def transport(self):
        return self.client.transport()

    def close(self):
        self.client.disconnect()


class NodeFollower(Follower):
    kind = "socketio"

    def __init__(self, port, auth=None, path="", extra=None, parser=None):
        super().__init__()
        arguments = [self.kind, f"http://127.0.0.1:{port}{path}"]
        arguments += [json.dumps(auth) if auth else extra or "-"] if self.kind == "socketio" else [extra] if extra else []
        arguments += [parser] if parser else []
        self.transport, self.asked = "polling", 0
        self.process = subprocess.Popen(["node", NODE / "follow.mjs", *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.opened = threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()
        if not self.opened.wait(15):
            raise AssertionError(f"node did not connect: {self.heard}")

    def listen(self):
        for line in self.process.stdout:
            item = json.loads(line)
            if item[0] == "#open":
                self.opened.set()
            elif item[0] == "#upgrade":
                self.transport = item[1]
            elif item[0] == "#ack":
                self.answers.put(item[1:])
            else:
                self.take(tuple(item if len(item) > 1 and isinstance(item[1], dict) else (item[0], {"text": item[1:]})))

    def emit(self, name, argument=None):
        self.asked += 1
        self.process.stdin.write(json.dumps({"emit": [name, argument], "ack": self.asked}) + "\n")
        self.process.stdin.flush()
        number, answer = self.answers.get(timeout=10)
        assert number == self.asked
        return answer

    def close(self):
        if self.process.poll() is None:
            if self.kind == "socketio":
                self.process.stdin.write('{"close": true}\n')
                self.process.stdin.flush()
                self.process.wait(10)
            else:
                self.process.terminate()
                self.process.wait(10)
        self.process.stdin.close()


class NodeStream(NodeFollower):
    kind = "sse"


class MsgpackFollower(NodeFollower):
    def __init__(self, port, auth=None, **_):
        super().__init__(port, auth, parser="msgpack")

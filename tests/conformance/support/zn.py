"""Runs the real programs and talks to them as api.md's clients do: nothing here shares code with them.

ZN_BIN names the folder with zn-import and zn-server, ZN_SHARED_DATA the shared samples (default: ../shared/data beside
the checkout).
"""
import hashlib
import http.client
import io
import json
import os
import resource
import socket
import subprocess
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

import msgpack
import numpy as np

SOURCE = Path(__file__).resolve().parents[3]
BIN = Path(os.environ.get("ZN_BIN", SOURCE / "build/release/bin"))
DATA = SOURCE / "data"
SHARED = Path(os.environ.get("ZN_SHARED_DATA", SOURCE.parent / "shared/data"))

needs_shared = unittest.skipUnless(
    (SHARED / "expected.json").exists(), f"the shared sample files are not at {SHARED}: their tests are skipped")


def expected_files():
    """name -> what independent readers saw, for every file of the shared samples; empty when they are missing."""
    path = SHARED / "expected.json"
    return json.loads(path.read_text())["files"] if path.exists() else {}


def run(command, limit=None, seconds=300, env=None):
    """A program's end: (exit code, stdout and stderr). limit: bytes of address space. 124 when it did not end in time."""
    cap = (lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))) if limit else None
    try:
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=seconds, preexec_fn=cap, env=env)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as end:
        return 124, (end.stdout or b"").decode(errors="replace") + "\ntimed out"


def import_file(store, room, *files, options=(), **limits):
    return run([BIN / "zn-import", *files, "--store", store, "--room", room, *options], **limits)


# Readers of uploads run under a limit of address space, which leaves no room for a sanitizer.
needs_sandbox = unittest.skipIf(os.environ.get("ZN_SANITIZE"), "no sandboxed import under a sanitizer")


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def frames(self):
        return [decode_value(frame) for frame in msgpack.unpackb(self.body, raw=False, strict_map_key=False)]

    def frame(self):
        return decode_value(msgpack.unpackb(self.body, raw=False, strict_map_key=False))

    def columns(self):
        return Columns(msgpack.unpackb(self.body, raw=False, strict_map_key=False))

    def npy(self):
        return np.load(io.BytesIO(self.body))

    def npz(self):
        # Every member must be a whole NPY file; np.load would only look at those that are asked for.
        with zipfile.ZipFile(io.BytesIO(self.body)) as members:
            assert members.testzip() is None
            return {name[:-4]: np.load(io.BytesIO(members.read(name))) for name in members.namelist()}


def decode_value(value):
    """msgpack_numpy's encoding, decoded by hand: {b"nd": ..., b"type": ..., b"kind": ..., b"shape": ..., b"data": ...}."""
    if isinstance(value, dict):
        if b"nd" in value:
            if not value[b"nd"]:
                return np.frombuffer(value[b"data"], value[b"type"])[0]
            array = np.frombuffer(value[b"data"], value[b"type"])
            return array.reshape(value[b"shape"])
        return {key: decode_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode_value(item) for item in value]
    return value


class Columns:
    """A `columns` reply, and its rows by frame."""

    def __init__(self, raw):
        self.raw = raw
        self.n_frames = raw["n_frames"]
        self.indices, self.ids = self.array(raw["indices"]), self.array(raw["ids"])
        self.versions, self.n_atoms = self.array(raw["versions"]), self.array(raw["n_atoms"])
        self.fields = raw["fields"]

    @staticmethod
    def array(raw):
        return np.frombuffer(raw["data"], raw["dtype"]).reshape(raw["shape"])

    def rows(self, name):
        """One value a frame; None where the field is absent."""
        field = self.fields[name]
        present = field["present"]
        present = [True] * self.n_frames if present is None else [byte != 0 for byte in present]
        data = field["data"]
        if isinstance(data, list):
            values = iter(data)
            return [next(values) if p else None for p in present]
        array = np.frombuffer(data, field["dtype"]).reshape(field["shape"])
        # Rows of a ragged field: a length for each frame that has it.
        lengths = iter(self.array(field["lengths"])) if field["kind"] == "ragged" else None
        rows, at = [], 0
        for p, n in zip(present, self.n_atoms):
            if not p:
                rows.append(None)
            elif field["kind"] in ("atom", "ragged"):
                n = n if lengths is None else next(lengths)
                rows.append(array[at:at + n])
                at += n
            else:
                rows.append(array[at])
                at += 1
        assert at == len(array), f"{name}: {len(array)} rows, {at} wanted"
        return rows


class Client:
    """One kept connection to a server; for threads of their own. tls: the ssl.SSLContext of a server that has TLS."""

    def __init__(self, port, tls=None):
        self.port, self.tls, self.connection = port, tls, None

    def request(self, method, path, body=None, headers=None):
        for attempt in (0, 1):  # a kept connection may have been closed for being idle
            if self.connection is None:
                kind, more = (http.client.HTTPSConnection, {"context": self.tls}) if self.tls else (http.client.HTTPConnection, {})
                self.connection = kind("127.0.0.1", self.port, timeout=60, **more)
            try:
                self.connection.request(method, path, body=body, headers=headers or {})
                reply = self.connection.getresponse()
                return Reply(reply.status, reply.headers, reply.read())
            except (http.client.HTTPException, OSError):
                self.close()
                if attempt:
                    raise

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def ask(self, method, path, body=None, token=None, **headers):
        """A request with a JSON body; Lock_Token="..." is the header Lock-Token."""
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self.request(method, path, None if body is None else json.dumps(body), headers)

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None


class Server(Client):
    """zn-server over a store, on a free port; a context manager."""

    def __init__(self, store, *options, env=None, tls=None, program="zn-server"):
        self.options, self.program = options, program
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            super().__init__(s.getsockname()[1], tls)
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(BIN / program), "--store", str(store), "--port", str(self.port),
                                         *map(str, options)], stdout=self.log, stderr=subprocess.STDOUT, env=env)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                logged = self.logged()
                self.stop()
                raise RuntimeError(f"zn-server ended at its start: {logged}")
            try:
                if self.get("/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        self.process.kill()
        raise RuntimeError(f"zn-server is not ready after 30 s: {self.logged()}")

    def logged(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-4000:]

    def room(self, room, path="", **query):
        """GET /api/rooms/{room}{path}?query, which must be 200."""
        text = "&".join(f"{key}={value}" for key, value in query.items())
        reply = self.get(f"/api/rooms/{room}{path}" + (f"?{text}" if text else ""))
        if reply.status != 200:
            raise AssertionError(f"GET {room}{path}?{text}: {reply.status} {reply.body[:500]!r}")
        return reply

    def fields(self, room):
        return self.room(room, "/fields").json()

    def digest(self):
        """What the store holds: every room's model with its commit and number of frames."""
        reply = self.get("/api/rooms?hidden=true&limit=1000")
        assert reply.status == 200, reply.body
        return hashlib.sha256(json.dumps(reply.json(), sort_keys=True).encode()).hexdigest()

    def raw(self, data, seconds=5):
        """Sends bytes as they are; (everything that came back, whether the server closed the connection)."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as s:
            s.sendall(data)
            got = b""
            try:
                while True:
                    part = s.recv(65536)
                    if not part:
                        return got, True
                    got += part
            except (ConnectionResetError, BrokenPipeError):
                return got, True
            except socket.timeout:
                return got, False

    def raw_pieces(self, pieces, pause=0.0005):
        """As raw, with a pause between pieces; what comes after the server closed is not sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            got = b""
            try:
                for piece in pieces:
                    s.sendall(piece)
                    time.sleep(pause)
                while part := s.recv(65536):
                    got += part
            except (ConnectionResetError, BrokenPipeError):
                pass
            except socket.timeout:
                return got, False
            return got, True

    def stop(self):
        """The exit code after SIGTERM."""
        self.close()
        self.log.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return "killed: it did not stop in 30 s"
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class StoreCase(unittest.TestCase):
    """A store in a temporary folder for the tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="zn-test-")
        cls.store = Path(cls.folder.name) / "store"

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()


class RoomCase(StoreCase):
    """A store with room r: the frames of the first sample."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, text = import_file(cls.store, "r", sorted(DATA.glob("*.xyz"))[0])
        assert code == 0, text

    @classmethod
    def make_token(cls, name, scopes):
        """While no server holds the store."""
        code, text = run([BIN / "zn-server", "token", "create", "--name", name, "--scopes", scopes, "--store", cls.store])
        assert code == 0, text
        return text.strip()

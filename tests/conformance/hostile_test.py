"""Requests that are meant to harm: smuggling, sizes, noise, foreign hosts and origins."""
import json
import random
import re
import socket
import unittest

from support import zn
from support.reading import Api


class Hostile(Api):
    def alive(self):
        self.assertEqual(self.get("/healthz").status, 200)

    def raw(self, data):
        return self.server.raw(data if isinstance(data, bytes) else data.encode())

    def test_smuggling_is_400_and_closed(self):
        # A proxy before the server must never see another request boundary than it does.
        head = f"Host: 127.0.0.1:{self.server.port}\r\n"
        attacks = {
            "length and chunked": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "two lengths": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            "two equal lengths": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            "a list of lengths": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 2, 2\r\n\r\n{}",
            "a negative length": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: -1\r\n\r\n",
            "a signed length": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: +2\r\n\r\n{}",
            "a length that overflows": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Content-Length: 99999999999999999999999\r\n\r\n",
            "space before colon": "GET /api/rooms HTTP/1.1\r\n" + head + "Content-Length : 0\r\n\r\n",
            "folded header": "GET /api/rooms HTTP/1.1\r\n" + head + "X-A: b\r\n c\r\n\r\n",
            "bare LF": "GET /api/rooms HTTP/1.1\n" + head.replace("\r", "") + "\n",
            "bare LF in a header": "GET /api/rooms HTTP/1.1\r\n" + head + "X-A: b\nX-B: c\r\n\r\n",
            "bare CR in a header": "GET /api/rooms HTTP/1.1\r\n" + head + "X-A: b\rX-B: c\r\n\r\n",
            "NUL in a header": "GET /api/rooms HTTP/1.1\r\n" + head + "X-A: b\0c\r\n\r\n",
            "unknown transfer coding": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "xchunked": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "a chunk size that is none": "POST /api/rooms/alloy/frames/select HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
            "chunked in HTTP/1.0": "POST /api/rooms/alloy/frames/select HTTP/1.0\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "no Host": "GET /api/rooms HTTP/1.1\r\n\r\n",
            "two Hosts": "GET /api/rooms HTTP/1.1\r\n" + head + head + "\r\n",
            "no version": "GET /api/rooms\r\n\r\n",
            "version 3": "GET /api/rooms HTTP/3.0\r\n" + head + "\r\n",
            "not HTTP": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "control character in the target": "GET /api/\x01rooms HTTP/1.1\r\n" + head + "\r\n",
        }
        for name, attack in attacks.items():
            with self.subTest(name):
                follow = f"GET /api/version HTTP/1.1\r\n{head}\r\n"
                got, closed = self.raw(attack.encode("latin-1") + (b"" if name == "not HTTP" else follow.encode()))
                self.assertTrue(closed, f"left open after {got[:100]!r}")
                if got:
                    self.assertRegex(got.split(b"\r\n")[0], rb"^HTTP/1\.[01] (4\d\d|501|505) ")
                self.assertLessEqual(len(re.findall(rb"HTTP/1\.[01] \d\d\d ", got)), 1, "a second request was answered")
        self.alive()

    def test_foreign_host_and_origin(self):
        got, _ = self.raw("GET /api/rooms HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 403"), got[:80])
        self.problem(self.get("/api/rooms", Origin="http://evil.example"), 403)
        for host in (f"localhost:{self.server.port}", f"127.0.0.1:{self.server.port}"):
            got, _ = self.raw(f"GET /api/version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            self.assertTrue(got.startswith(b"HTTP/1.1 200"), got[:80])

    def test_sizes(self):
        self.assertIn(self.get("/api/rooms/alloy", X_A="a" * 200000).status, (400, 413, 431))
        self.server.connection = None
        self.assertIn(self.get("/api/rooms?search=" + "a" * 200000).status, (400, 413, 414, 431))
        self.server.connection = None
        many = "".join(f"X-{i}: y\r\n" for i in range(100000))
        got, closed = self.raw(f"GET /api/rooms HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n{many}\r\n")
        self.assertTrue(closed)
        self.assertNotIn(b" 200 ", got.split(b"\r\n")[0])
        self.alive()

    def test_a_selection_of_a_million_indices_is_bounded(self):
        body = json.dumps({"indices": [0] * 3_000_000, "format": "msgpack"})
        reply = self.server.request("POST", "/api/rooms/alloy/frames/select", body, {"Content-Type": "application/json"})
        self.assertIn(reply.status, (400, 413), reply.status)
        self.alive()

    def test_replies_have_a_bound(self):
        store = self.store.parent / "bounded"
        code, output = zn.import_file(store, "alloy", zn.DATA / "alloy_md.xyz")
        self.assertEqual(code, 0, output)
        with zn.Server(store, "--max-reply", "1") as server:  # MiB
            self.assertEqual(server.get("/api/rooms/alloy/frames?indices=0:2").status, 200)
            for kind in ("msgpack", "columns", "json", "extxyz", "npz"):
                reply = server.get(f"/api/rooms/alloy/frames?indices=:,:,:&format={kind}")
                self.problem(reply, 400)

    def test_pipelined_requests_are_answered_in_order(self):
        head = f"Host: 127.0.0.1:{self.server.port}\r\n"
        got, _ = self.raw("".join(f"GET /api/rooms/alloy/frames/{i}?data=step&format=json HTTP/1.1\r\n{head}\r\n" for i in range(9)) +
                          f"GET /healthz HTTP/1.1\r\n{head}Connection: close\r\n\r\n")
        steps = [int(n) for n in re.findall(rb'\{"info.step":(\d+)\}', got)]
        self.assertEqual(steps, [2 * i for i in range(9)])

    def test_percent_encoding(self):
        for path in ("/api/rooms/alloy/frames?data=%zz", "/api/rooms/alloy/frames?data=%", "/api/rooms/%zz",
                     "/api/rooms/alloy/frames?data=%ff%fe"):
            self.assertIn(self.get(path).status, (400, 404), path)
        self.assertEqual(self.get("/api/rooms/alloy/frames/0?data=arrays%2Epositions").status, 200)
        self.assertEqual(self.get("/api/rooms/alloy/frames?indices=0%3A2%2C5&data=step").status, 200)

    def test_random_bytes(self):
        rng = random.Random(3)
        plain = f"GET /api/rooms/alloy/frames/3?data=energy HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\nConnection: close\r\n\r\n".encode()
        for _ in range(400):
            data = bytearray(plain)
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=5) as s:
                s.sendall(bytes(data))
                s.shutdown(socket.SHUT_WR)
                try:
                    while s.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
        self.alive()

    def test_half_requests_do_not_hold_others(self):
        held = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(300)]
        for s in held:
            s.sendall(b"GET /api/rooms HTTP/1.1\r\nHost: 127")
        self.alive()
        for s in held:
            s.close()


if __name__ == "__main__":
    unittest.main()

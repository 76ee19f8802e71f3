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

    # What follows an attack: a proxy before the server must never see another request boundary than it does.
    FOLLOW = b"GET /api/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    def refused(self, attack, statuses=(400,), pieces=None):
        """The attack and the request behind it get one reply, of these statuses, and the connection is closed."""
        data = attack.encode("latin-1") + self.FOLLOW
        got, closed = self.server.raw_pieces([data[at:at + pieces] for at in range(0, len(data), pieces)]) if pieces else self.raw(data)
        self.assertTrue(closed, f"left open after {got[:100]!r}")
        self.assertEqual(len(re.findall(rb"HTTP/1\.[01] \d\d\d ", got)), 1, got)
        self.assertIn(int(got.split(b" ", 2)[1]), statuses, got[:200])
        self.assertIn(b"Connection: close", got)

    SELECT = "POST /api/rooms/alloy/frames/select HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    GET = "GET /api/rooms HTTP/1.1\r\nHost: 127.0.0.1\r\n"

    def test_smuggling_is_400_and_closed(self):
        attacks = {
            "length and chunked": self.SELECT + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "chunked and length": self.SELECT + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "chunked and no length": self.SELECT + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
            "two lengths": self.SELECT + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            "two equal lengths": self.SELECT + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            "two lengths, spelt differently": self.SELECT + "content-length: 2\r\nCONTENT-LENGTH: 0\r\n\r\n{}",
            "a list of lengths": self.SELECT + "Content-Length: 2, 2\r\n\r\n{}",
            "a negative length": self.SELECT + "Content-Length: -1\r\n\r\n",
            "a signed length": self.SELECT + "Content-Length: +2\r\n\r\n{}",
            "a length in hex": self.SELECT + "Content-Length: 0x2\r\n\r\n{}",
            "a length with a blank in it": self.SELECT + "Content-Length: 1 2\r\n\r\n{}",
            "an empty length": self.SELECT + "Content-Length:\r\n\r\n",
            "a length that overflows": self.SELECT + "Content-Length: 99999999999999999999999\r\n\r\n",
            "a length that wraps": self.SELECT + "Content-Length: 18446744073709551618\r\n\r\n{}",
            "space before the colon": self.GET + "Content-Length : 0\r\n\r\n",
            "tab before the colon": self.SELECT + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
            "space before a name": "GET /api/rooms HTTP/1.1\r\n Host: 127.0.0.1\r\n\r\n",
            "folded header": self.GET + "X-A: b\r\n c\r\n\r\n",
            "folded by a tab": self.SELECT + "Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n",
            "bare LF": self.GET.replace("\r", "") + "\n",
            "bare LF in a header": self.GET + "X-A: b\nX-B: c\r\n\r\n",
            "bare LF ends the head": self.GET + "X-A: b\r\n\n",
            "bare CR in a header": self.GET + "X-A: b\rX-B: c\r\n\r\n",
            "bare CR ends a line": self.GET + "X-A: b\r\r\n\r\n",
            "bare CR ends the head": self.GET + "X-A: b\r\n\rX",
            "NUL in a header": self.GET + "X-A: b\0c\r\n\r\n",
            "vertical tab before chunked": self.SELECT + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            "two transfer codings": self.SELECT + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            "chunked in HTTP/1.0": self.SELECT.replace("1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "a header without a name": self.GET + ": x\r\n\r\n",
            "a header without a colon": self.GET + "X-A\r\n\r\n",
            "a name of other letters": self.GET + "X-\xe4: b\r\n\r\n",
            "no Host": "GET /api/rooms HTTP/1.1\r\n\r\n",
            "two Hosts": self.GET + "Host: 127.0.0.1\r\n\r\n",
            "no version": "GET /api/rooms\r\n\r\n",
            "two blanks": self.GET.replace(" HTTP", "  HTTP") + "\r\n",
            "control character in the target": self.GET.replace("rooms", "\x01rooms") + "\r\n",
            "not HTTP": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        }
        for name, attack in attacks.items():
            with self.subTest(name):
                self.refused(attack)
        for name, attack, status in (
                ("unknown transfer coding", self.SELECT + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501),
                ("xchunked", self.SELECT + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
                ("version 3", self.GET.replace("1.1", "3.0", 1) + "\r\n", 505)):
            with self.subTest(name):
                self.refused(attack, (status,))
        self.alive()

    def test_chunked_bodies_that_can_be_read_in_two_ways_are_400_and_closed(self):
        body = json.dumps({"indices": "0", "format": "json"})
        size = f"{len(body):x}"
        chunked = self.SELECT + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        end = "0\r\n\r\n"
        got, _ = self.raw(chunked + f"{size}\r\n{body}\r\n" + end + self.FOLLOW.decode().replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))
        self.assertEqual(len(re.findall(rb"HTTP/1\.1 200 ", got)), 2, "a sound one is taken, and what follows is a request")
        for name, attack in {
            "an extension": f"{size};a=b\r\n{body}\r\n" + end,
            "an extension of the last chunk": f"{size}\r\n{body}\r\n0;a\r\n\r\n",
            "a bare LF in an extension": f"{size};\n{body}\r\n" + end,
            "no size": f"\r\n{body}\r\n" + end,
            "a size that is none": "zz\r\nabc\r\n" + end,
            "a signed size": f"+{size}\r\n{body}\r\n" + end,
            "a negative size": f"-1\r\n{body}\r\n" + end,
            "0x": f"0x{size}\r\n{body}\r\n" + end,
            "a blank before the size": f" {size}\r\n{body}\r\n" + end,
            "a blank behind the size": f"{size} \r\n{body}\r\n" + end,
            "a size of too many digits": f"{size:0>40}\r\n{body}\r\n" + end,
            "a bare LF behind the size": f"{size}\n{body}\r\n" + end,
            "a bare CR behind the size": f"{size}\r{body}\r\n" + end,
            "a bare LF behind the data": f"{size}\r\n{body}\n" + end,
            "nothing behind the data": f"{size}\r\n{body}" + end,
            "more data than the size": f"1\r\n{body}\r\n" + end,
            "a bare LF at the end": f"{size}\r\n{body}\r\n0\n\n",
            "a bare LF as the last line": f"{size}\r\n{body}\r\n0\r\n\n",
            "a trailer": f"{size}\r\n{body}\r\n0\r\nX-A: b\r\n\r\n",
            "a trailer that frames": f"{size}\r\n{body}\r\n0\r\nContent-Length: 50\r\n\r\n",
        }.items():
            for pieces in (None, 1):
                with self.subTest(name, pieces=pieces):
                    self.refused(chunked + attack, pieces=pieces)
        for name, attack in {"a chunk of 2^64 - 1": "ffffffffffffffff\r\nabc", "a chunk of 2^64 + 3": "10000000000000003\r\nabc\r\n" + end,
                             "a chunk of an exabyte": "fffffffffffffff\r\nabc"}.items():
            with self.subTest(name):
                self.refused(chunked + attack, (400, 413))
        self.alive()

    def test_the_body_of_a_request_that_needs_none_is_no_request(self):
        inner = "GET /api/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            with self.subTest(method):
                head = f"{method} /api/rooms HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(inner)}\r\n\r\n"
                got, _ = self.raw(head + inner + "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                self.assertEqual(len(re.findall(rb"HTTP/1\.1 \d\d\d ", got)), 2, got)
                self.assertNotIn(b"/api/nothing", got)

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

"""Clients that are slow on purpose: heads and bodies that trickle, connections that do nothing, thousands of them."""
import json
import resource
import socket
import threading
import time
import unittest

from support.zn import Client, RoomCase, Server

HOST = b"Host: 127.0.0.1\r\n"


def raise_file_limit(files):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= files


def resident_mib(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:")) / 1024


def metric(server, name):
    return next(float(line.split()[1]) for line in server.get("/metrics").body.decode().splitlines()
                if line.startswith(name + " "))


class Trickle:
    """Sends a byte every `pause` seconds until the server has had enough: (what it said, after how long)."""

    def __init__(self, server, head, byte=b"x", pause=0.1, seconds=20):
        begun = time.monotonic()
        self.said = b""
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.sendall(head)
            s.settimeout(pause)
            while time.monotonic() < begun + seconds:
                try:
                    part = s.recv(65536)
                    if not part:
                        break
                    self.said += part
                    continue
                except socket.timeout:
                    pass
                except OSError:
                    break
                try:
                    s.sendall(byte)
                except OSError:
                    break
        self.took = time.monotonic() - begun


class Slow(RoomCase):
    def too_slow(self, trickle):
        self.assertTrue(trickle.said.startswith(b"HTTP/1.1 408 "), trickle.said[:200])
        self.assertEqual(json.loads(trickle.said.split(b"\r\n\r\n", 1)[1])["type"], "urn:znstore:problem:too-slow")
        self.assertIn(b"Connection: close", trickle.said)
        self.assertGreater(trickle.took, 0.7)
        self.assertLess(trickle.took, 6)

    def test_bodies_that_trickle_are_408_and_closed(self):
        with Server(self.store, "--header-timeout", "1") as server:
            for path in (b"PUT /api/rooms/r/frames/0", b"POST /api/rooms/r/frames/select", b"POST /socket.io/?EIO=4&transport=polling"):
                with self.subTest(path=path):
                    self.too_slow(Trickle(server, path + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 9999\r\n\r\n"))
            with self.subTest("chunked"):
                self.too_slow(Trickle(server, b"PUT /api/rooms/r/frames/0 HTTP/1.1\r\n" + HOST +
                                      b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"))
            with self.subTest("after a fast beginning"):  # which buys no more than the header timeout
                self.too_slow(Trickle(server, b"PUT /api/rooms/r/frames/0 HTTP/1.1\r\n" + HOST +
                                      b"Content-Length: 900000\r\n\r\n" + bytes(500_000)))
            with self.subTest("in a file"):
                self.too_slow(Trickle(server, b"PUT /api/rooms/r/frames/0 HTTP/1.1\r\n" + HOST +
                                      b"Content-Type: application/msgpack\r\nContent-Length: 9000000\r\n\r\n" + bytes(2_000_000)))
            self.assertEqual(metric(server, "zn_http_timeouts_total"), 6)

    def test_a_body_at_the_rate_is_taken(self):
        with Server(self.store, "--header-timeout", "1", "--min-body-rate", "500") as server:
            body = json.dumps({"indices": "0", "format": "json"}).encode().ljust(6000)
            with socket.create_connection(("127.0.0.1", server.port)) as s:
                s.sendall(b"POST /api/rooms/r/frames/select HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
                          b"Content-Length: 6000\r\n\r\n")
                begun = time.monotonic()
                for at in range(0, 6000, 300):  # 1,500 bytes per second for four seconds
                    time.sleep(0.2)
                    s.sendall(body[at:at + 300])
                self.assertGreater(time.monotonic() - begun, 3.5)
                self.assertTrue(s.recv(65536).startswith(b"HTTP/1.1 200 "))

    def test_heads_that_trickle_are_closed(self):
        with Server(self.store, "--header-timeout", "1") as server:
            trickle = Trickle(server, b"GET /api/rooms HTTP/1.1\r\n" + HOST + b"X-Slow: ")
            self.assertEqual(trickle.said, b"")
            self.assertLess(trickle.took, 4)
            self.assertLess(Trickle(server, b"").took, 4)

    def test_bodies_beyond_the_memory_for_them_are_read_all_the_same(self):
        with Server(self.store, "--body-memory", "1") as server:
            text = json.dumps({"indices": "0", "format": "json"}).encode()
            want = server.request("POST", "/api/rooms/r/frames/select", text, {"Content-Type": "application/json"}).body
            before = resident_mib(server)
            size = 4 << 20
            held = []
            for _ in range(32):
                s = socket.create_connection(("127.0.0.1", server.port))
                s.sendall(b"POST /api/rooms/r/frames/select HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Type: application/json\r\n"
                          b"Content-Length: %d\r\n\r\n" % size + text.ljust(size - 1))
                held.append(s)
            time.sleep(0.5)
            self.assertLess(resident_mib(server) - before, 24, "of 128 MiB that are here already")
            for s in held:
                s.sendall(b" ")
            for s in held:
                got = b""
                while part := s.recv(1 << 20):
                    got += part
                s.close()
                self.assertEqual(got.split(b"\r\n\r\n", 1)[1], want)


class Thousands(RoomCase):
    """10,000 connections, each of which sends a byte now and then."""
    COUNT = 10_000

    def setUp(self):
        if not raise_file_limit(self.COUNT + 200):
            self.skipTest("too few file descriptors: raise ulimit -Hn")

    # A third each: heads, bodies that promise a gigabyte, and connections idle after a request.
    BEGINNINGS = (b"GET /api/rooms HTTP/1.1\r\n" + HOST + b"X-Slow: ",
                  b"PUT /api/rooms/r/frames/0 HTTP/1.1\r\n" + HOST + b"Content-Type: application/msgpack\r\nContent-Length: 900000\r\n\r\n",
                  b"")

    def hold(self, server):
        held = []
        for i in range(self.COUNT):
            s = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            try:
                s.sendall(self.BEGINNINGS[i % 3])
            except OSError:
                pass  # it had to make room already
            s.setblocking(False)
            held.append(s)
        return held

    def trickle(self, held, stop):
        while not stop.wait(1):
            for s in held:
                try:
                    s.send(b"x")
                except OSError:
                    pass

    def served(self, server, seconds=6):
        """Asks on new and on kept connections meanwhile; the slowest answer in seconds."""
        kept, slowest, asked = Client(server.port), 0, 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for client in (kept, Client(server.port)):
                begun = time.monotonic()
                self.assertEqual(client.get("/api/rooms/r/frames/0?data=positions&format=npy").status, 200)
                slowest = max(slowest, time.monotonic() - begun)
                asked += 1
                if client is not kept:
                    client.close()
        kept.close()
        self.assertGreater(asked, 100)
        return slowest

    def run_against(self, *options):
        with Server(self.store, *options) as server:
            before = resident_mib(server)
            held = self.hold(server)
            stop = threading.Event()
            thread = threading.Thread(target=self.trickle, args=(held, stop))
            thread.start()
            try:
                time.sleep(2.5)
                slowest = self.served(server)
                memory = resident_mib(server) - before
                connections = metric(server, "zn_http_connections")
                reused = metric(server, "zn_http_reused_total")
            finally:
                stop.set()
                thread.join()
                for s in held:
                    s.close()
            print(f"{options}: {connections:.0f} connections, {reused:.0f} made room, {memory:.1f} MiB more, "
                  f"slowest answer {1000 * slowest:.0f} ms")
            self.assertLess(slowest, 3)
            self.assertLess(memory, 150)
            return connections, reused

    def test_all_of_them_held(self):
        connections, _ = self.run_against("--max-connections", "12000", "--header-timeout", "60")
        self.assertGreater(connections, self.COUNT * 0.99)

    def test_more_than_the_server_takes(self):
        connections, reused = self.run_against()
        self.assertLessEqual(connections, 4096 + 2)
        self.assertGreater(reused, 0)


if __name__ == "__main__":
    unittest.main()
